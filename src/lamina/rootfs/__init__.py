"""The customisation layer: the image's own root, above its store paths.

Invariant: made in one order: symlink tree, extra commands, declared entries; each sees what those before it made.
"""
