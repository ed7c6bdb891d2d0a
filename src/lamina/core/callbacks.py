"""Callbacks for optional arguments that the caller does not use."""

from __future__ import annotations


def ignore(*values: object) -> None:
    """Do nothing with ``values``."""


def accept(value: object) -> bool:
    """Return True for every ``value``."""
    return True
