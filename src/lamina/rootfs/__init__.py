"""The customisation layer: the image's root file system, which is the layer above its store paths.

Invariant: its parts are made in one order: symlink tree, extra commands, declared entries. Each part sees what the
parts before it made.
"""
