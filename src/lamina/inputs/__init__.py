"""Arguments and spec files, parsed into a checked spec; what a ROOT means, and which stores are opened."""
