"""Where images go: edges, so files are written here.

Invariant: a sink that fails leaves nothing where the result was to be.
"""
