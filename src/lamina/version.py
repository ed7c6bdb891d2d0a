"""Which lamina this is.

Invariant: nothing is imported for it.
"""

__version__ = "0.1.0"
