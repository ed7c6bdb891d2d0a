"""Stores, the sources of store paths: Nix databases, folders, closure graphs, embedded stores and binary caches.

A store that cannot be opened or read raises `StoreError`.
"""
