"""From arguments and spec files to a checked spec: what a ROOT means, and which stores are asked."""
