"""Files, directory walks, file descriptors, memory and processors of this machine."""
