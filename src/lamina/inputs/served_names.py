"""Names of images that a server makes of packages: ``hello``, ``python3/git/curl``, ``arm64/hello``.

Each part of a name is a package, or the hash of a store path. An architecture may come first. Patterns say which
packages a server may serve.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from lamina.errors import InvalidArgument
from lamina.inputs.parsers import parse_architecture, parse_texts
from lamina.messages.redaction import short_repr

# Names of packages are parts of repositories, so a pattern needs no other characters.
_PATTERN = re.compile(r"[a-z0-9._*?-]{1,200}")


@dataclass(frozen=True, slots=True)
class ServedName:
    """The packages of an image, and its architecture.

    Attributes:
        packages: names of packages and hashes of store paths, in order.
        architecture: the architecture; None for that of the packages.
    """

    packages: tuple[str, ...]
    architecture: str | None = None

    @classmethod
    def parse(cls, repository: str) -> ServedName:
        """Parse the name of a repository, which has been checked."""
        first, *others = repository.split("/")
        if others:
            try:
                return cls(tuple(others), parse_architecture("architecture", first))
            except InvalidArgument:
                pass
        return cls((first, *others))

    def is_allowed(self, patterns: Sequence[str]) -> bool:
        """Return whether each package matches one of the patterns."""
        return all(any(fnmatchcase(package, pattern) for pattern in patterns) for package in self.packages)


def parse_allowed(name: str, value: str | Iterable[str]) -> tuple[str, ...]:
    """Parse patterns with the wildcards ``*`` and ``?``. Raises `InvalidArgument`."""
    patterns = parse_texts(name, value)
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern):
            expected = "the name of a package in lower case, with * and ? for other characters"
            raise InvalidArgument(name, short_repr(pattern), expected)
    return patterns
