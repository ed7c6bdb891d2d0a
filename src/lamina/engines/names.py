"""The names of the container engines."""

from __future__ import annotations

ENGINE_NAMES = ("docker", "podman", "containerd")
"""The names of the engines, the most used first."""
