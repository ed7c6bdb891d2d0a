"""The layer cache: what earlier runs learnt about layers, kept in a SQLite file."""
