"""Names of images, which can be spelled in several ways.

Container engines treat ``app:1``, ``library/app:1``, ``docker.io/library/app:1`` and ``index.docker.io/app:1`` as the
same name (distribution/reference, "Normalization"), so names are compared in their canonical form.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lamina.core.names import ImageReference
from lamina.errors import InvalidArgument

HUB, _OFFICIAL = "docker.io", "library"
LATEST = "latest"
# Other names of Docker Hub: that of its first index, and the host that answers requests.
HUB_ALIASES = ("index.docker.io", "registry-1.docker.io")
# Enough for a repository of 255 characters, a registry, and a tag of 128 characters.
_MAX_NAME_LENGTH = 1024


def full_name(reference: ImageReference) -> str:
    """Return the name with the registry that docker and containerd add: ``docker.io/library/NAME:TAG``."""
    host, rest = split_host(reference.repository)
    return f"{host}/{rest}:{reference.tag}"


def split_host(name: str) -> tuple[str, str]:
    """Split the name of an image into its registry and its repository, such as ``docker.io`` and ``library/app``.

    The first part is a registry if it has a dot, a colon or a capital, or is ``localhost`` (distribution/reference,
    splitDockerDomain).
    """
    host, slash, rest = name.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost" or host != host.lower()):
        host, rest = HUB, name
    if host == HUB or host in HUB_ALIASES:
        host = HUB
        rest = rest if "/" in rest else f"{_OFFICIAL}/{rest}"
    return host, rest


def familiar_name(reference: ImageReference) -> ImageReference:
    """Return the shortest reference with the same `full_name`, as docker shows it."""
    repository, _, tag = full_name(reference).rpartition(":")
    inside = repository.removeprefix(f"{HUB}/")
    if inside != repository:
        repository = inside.removeprefix(f"{_OFFICIAL}/") if inside.count("/") == 1 else inside
    return ImageReference(repository, tag)


def canonical_name(name: str) -> str:
    """Return the canonical spelling of ``name``, or ``name`` unchanged if it is not a valid name of an image.

    A name without a tag has the tag ``latest``.

        >>> canonical_name("library/app")
        'docker.io/library/app:latest'
    """
    for spelling in (name, f"{name}:{LATEST}") if len(name) <= _MAX_NAME_LENGTH else ():
        try:
            return full_name(ImageReference.parse(spelling))
        except InvalidArgument:
            continue
    return name


class DistinctNames:
    """Names in the order in which they were added, each once, in the spelling that was added first."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def add(self, names: Iterable[str]) -> None:
        """Add ``names``, in time that does not depend on how many there are already."""
        for name in names:
            self._found.setdefault(canonical_name(name), name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._found.values())
