"""Stores on this machine: Nix databases, plain folders, closure graphs, channels."""
