"""Pack layers: their tar streams, blobs and digests, and the worker processes that help."""
