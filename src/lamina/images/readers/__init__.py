"""Reads existing images: docker-archives, and OCI layouts in a tar or a folder.

Invariant: nothing that an image file states about itself is used before it has been checked.
"""
