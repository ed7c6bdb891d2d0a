"""Read existing images: docker-archives, and OCI layouts in a tar or a folder.

Image files are untrusted, so digests, sizes and names in them are checked before they are used.
"""
