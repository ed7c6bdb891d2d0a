"""The versions that the bytes of a layer depend on, to find workers that would make other bytes.

Invariant: processes with equal fingerprints make equal blobs of equal layers.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from lamina.compression.compressors import LayerCompression
from lamina.errors import Error, InvalidArgument
from lamina.layer_cache.key import TAR_RULES
from lamina.messages.redaction import MAX_VALUE_LENGTH
from lamina.version import __version__

_HINT = "install the same versions of lamina and of its libraries on all workers"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The versions of a process.

    Attributes:
        compressions: The compressions of the layers to make, such as ``gzip:2``.
        versions: The version of lamina, that of the tar rules, and the `LayerCompression.identity` of each compression.
    """

    compressions: tuple[str, ...]
    versions: tuple[str, ...]

    @classmethod
    def of_this_process(cls, compressions: Iterable[LayerCompression]) -> Fingerprint:
        """Return the fingerprint of this process for layers with any of ``compressions``.

        Raises `FormatError` if a library is missing.
        """
        names = tuple(sorted({str(compression) for compression in compressions}))
        for name in names:
            _ = LayerCompression.parse(name).identity
        return cls(names, list_versions(names))

    def check_workers(self, subject: str, workers: Mapping[str, Sequence[str] | BaseException]) -> None:
        """Compare the fingerprint with those of workers.

        Args:
            subject: The cluster, for an error.
            workers: What `list_versions` returned in each worker, or the exception that it raised, by address.

        Raises:
            InvalidArgument: Some workers differ. The error names them, and their versions.
        """
        differences = {name: found for name, answer in workers.items() if (found := self._find_difference(answer))}
        if differences:
            raise InvalidArgument(subject, *_describe(differences), hint=_HINT)

    def select_workers(self, workers: Mapping[str, Sequence[str] | BaseException]) -> list[str]:
        """Return the names of the workers that have the same versions; ``workers`` is that of `check_workers`."""
        return [name for name, answer in workers.items() if not self._find_difference(answer)]

    def check_this_process(self) -> None:
        """Compare the fingerprint with that of this process, which is a worker. Raises `InvalidArgument`.

        This finds a worker that joined its cluster after `check_workers`. The error is transient, because the same task
        may succeed on another worker.
        """
        if difference := self._find_difference(list_versions(self.compressions)):
            name = f"worker process {os.getpid()} on {platform.node()}"
            raise InvalidArgument(name, *difference, hint=_HINT, is_transient=True)

    def _find_difference(self, answer: Sequence[str] | BaseException) -> tuple[str, str] | None:
        """Return what a worker has, and what it should have; None if it has the same versions."""
        if isinstance(answer, BaseException):
            return f"{type(answer).__name__}: {answer}"[:MAX_VALUE_LENGTH], f"lamina {__version__}"
        own = set(self.versions)
        if own == set(answer):
            return None
        found = [version for version in answer if version not in own]
        expected = [version for version in self.versions if version not in set(answer)]
        return ", ".join(found), ", ".join(expected)


@cache
def list_versions(compressions: tuple[str, ...]) -> tuple[str, ...]:
    """Return the versions of this process that the bytes of layers with ``compressions`` depend on."""
    return (
        f"lamina {__version__}",
        f"tar rules {TAR_RULES}",
        *(_find_identity(LayerCompression.parse(text)) for text in compressions),
    )


def _find_identity(compression: LayerCompression) -> str:
    try:
        return compression.identity
    except Error as error:
        return f"{compression} without its library ({error.got})"


_MAX_NAMED = 5


def _describe(differences: Mapping[str, tuple[str, str]]) -> tuple[str, str]:
    """Return the workers with what they have, and what they should have."""
    named = [f"{name} with {found}" for name, (found, _) in list(differences.items())[:_MAX_NAMED]]
    more = len(differences) - len(named)
    expected = dict.fromkeys(expected for _, expected in differences.values())
    return "; ".join([*named, *([f"{more} more"] if more else [])]), "; ".join(expected)
