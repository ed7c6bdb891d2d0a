"""The layer cache: digests, sizes and listings of layers from earlier runs, stored in a SQLite file."""
