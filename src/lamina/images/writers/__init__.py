"""Writes images: as a docker-archive, as an OCI layout, or as a script that streams the image.

Invariant: a writer that fails leaves no partial file at the destination of the result. A stream is the exception:
bytes that were sent cannot be taken back.
"""
