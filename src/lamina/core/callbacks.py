"""Callbacks for optional arguments that the caller does not use."""

from __future__ import annotations


def ignore(*values: object) -> None:
    """Do nothing with ``values``."""


def accept(*values: object) -> bool:
    """Return True for any ``values``."""
    return True
