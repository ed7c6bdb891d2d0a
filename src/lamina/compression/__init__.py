"""Gzip and zstd for what lamina writes, and the decoders of compressed NARs."""
