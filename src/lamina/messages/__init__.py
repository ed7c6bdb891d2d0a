"""Texts that people read: values without secrets, and the meaning of other programs' messages."""
