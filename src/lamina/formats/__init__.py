"""The formats: NAR, tar, narinfo and the rest of a binary cache, the documents of an image, a closure graph in JSON.

Invariant: pure. Bytes and values in, bytes and values out; no file, no clock, no environment.
"""
