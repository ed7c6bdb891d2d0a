"""Names, digests, nodes and the closure: pure data that every other room uses."""
