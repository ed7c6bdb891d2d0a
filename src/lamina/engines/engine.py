"""The operations that every container engine has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Protocol

from lamina.formats.platform import Platform

WriteArchive = Callable[[IO[bytes]], object]
"""Writes the archive of an image to a stream."""


@dataclass(frozen=True, slots=True)
class LoopbackImage:
    """An image in a registry on a loopback address of this machine, which exists until the engine has it.

    Attributes:
        host: the registry's address, ``127.0.0.1:PORT``.
        repository: the repository in the registry.
        tag: the tag in the registry.
        platform: the platform of the image.
        user: the user to pull with.
        password: the password, which is valid only as long as the registry exists.
    """

    host: str
    repository: str
    tag: str
    platform: Platform
    user: str
    password: str = field(repr=False)

    @property
    def reference(self) -> str:
        """``HOST/REPOSITORY:TAG``."""
        return f"{self.host}/{self.repository}:{self.tag}"


class Engine(Protocol):
    """A container engine on this machine. The methods raise `OutputError` if the engine fails."""

    @property
    def name(self) -> str:
        """``docker``, ``podman`` or ``containerd``."""

    def find_obstacle(self) -> str:
        """Return why the engine cannot pull from a loopback address of this machine, or an empty text if it may."""

    def pull(self, image: LoopbackImage, name: str) -> None:
        """Pull ``image`` and call it ``name``, which is ``REPOSITORY:TAG``. The name in the registry does not stay."""

    def load(self, write: WriteArchive) -> None:
        """Load the docker-archive that ``write`` writes. The image gets the names in the archive."""

    def run(self, name: str, arguments: tuple[str, ...], *, has_terminal: bool) -> int:
        """Start the image ``name`` in a container that is removed at the end; this process becomes the program for it.

        Args:
            name: the name of the image.
            arguments: the command line in the container; by default that of the image.
            has_terminal: whether the container gets a terminal.

        Returns:
            The exit status of the container, where a process cannot become another one (Windows).

        """
