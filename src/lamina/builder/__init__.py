"""From a checked spec to a draft of an image: closure, root file system, base image, Nix database."""
