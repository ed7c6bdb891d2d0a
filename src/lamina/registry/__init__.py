"""Talk to image registries: the client of the OCI distribution protocol 1.1.

Credentials are sent only to the registry that they belong to and to the token server that it names, and no message
contains them. The caller of each function decides which blobs and manifests are sent, and in which order.
"""
