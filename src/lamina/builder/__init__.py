"""Prepare an image: turn a checked spec into a draft with closure, root file system and base image."""
