"""The version of lamina. This module imports nothing, so that ``lamina --version`` is fast."""

__version__ = "0.1.0"
