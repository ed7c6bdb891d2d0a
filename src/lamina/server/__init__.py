"""A server for image registries' clients: the pull half of the OCI distribution protocol.

`respond` decides what each request is answered with, and does no input or output of its own.
"""
