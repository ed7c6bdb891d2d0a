"""The customisation layer: the image's root file system, which is the layer above its store paths.

The parts of the layer are always made in this order: symlink tree, extra commands, declared entries. Each part sees the
parts that were made before it.
"""
