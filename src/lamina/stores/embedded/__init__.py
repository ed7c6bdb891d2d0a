"""The embedded store: a folder of NARs and narinfos that is a binary cache itself."""
