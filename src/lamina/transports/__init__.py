"""How bytes come from a binary cache, and go to one: edges, so files, sockets and buckets are opened here.

Invariant: a file that is absent is told from one that could not be had; what is read is bounded in bytes and in time,
what is written is there whole or not at all, and nobody is shown credentials.
"""
