"""Binary caches as stores: fetch, verify, push and repair store paths."""
