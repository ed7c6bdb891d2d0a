"""Write images as a docker-archive, as an OCI layout, or as a script that streams the image.

A writer that fails leaves no partial file at the destination. The exception is a stream, whose bytes have already been
sent.
"""
