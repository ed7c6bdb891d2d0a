"""Binary caches as stores: fetching, verifying, pushing and repairing store paths."""
