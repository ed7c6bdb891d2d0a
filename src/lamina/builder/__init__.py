"""Preparation of an image: from a checked spec to a draft with closure, root file system and base image."""
