"""The platforms of images: operating system, processor architecture and its variant.

The architecture of a parsed `Platform` is a GOARCH, which images require (OCI image-spec, config.md, "architecture").
Nix, ``uname -m`` and Debian have other names for the same processors; these are translated as in containerd
(containerd: platforms, "database.go").

    >>> str(Platform.parse("aarch64"))
    'linux/arm64'
    >>> str(Platform.parse("linux/arm/7"))
    'linux/arm/v7'
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lamina.errors import InvalidArgument
from lamina.messages.redaction import short_repr
from lamina.messages.suggestions import format_suggestion

LINUX = "linux"
ARCHITECTURES = (
    *("386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle"),
    *("ppc64", "ppc64le", "riscv64", "s390x", "wasm"),
)
# Maps the names of Nix, `uname -m` and Debian to an architecture and the variant, if the name implies one.
WORDS: dict[str, tuple[str, str]] = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    **dict.fromkeys(("i386", "i486", "i586", "i686"), ("386", "")),
    "armv5tel": ("arm", "v5"),
    "armv6l": ("arm", "v6"),
    "armel": ("arm", "v6"),
    "armv7a": ("arm", "v7"),
    "armv7l": ("arm", "v7"),
    "armhf": ("arm", "v7"),
    "loongarch64": ("loong64", ""),
    "mipsel": ("mipsle", ""),
    "mips64el": ("mips64le", ""),
    "powerpc64": ("ppc64", ""),
    "powerpc64le": ("ppc64le", ""),
    "wasm32": ("wasm", ""),
}
# The default variant of each architecture, and the valid variants.
_DEFAULT_VARIANTS = {"arm": "v7", "arm64": "v8", "amd64": "v1"}
_VARIANTS = {
    "arm": re.compile("v[5-8]"),
    "arm64": re.compile(r"v[89](\.[0-9])?"),
    "amd64": re.compile("v[1-4]"),
}
_OTHER_VARIANT = re.compile("[a-z0-9][a-z0-9._-]{0,31}")
_NIX_SYSTEM = re.compile("([a-z0-9_]+)-([a-z]+)")


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform. An empty field is unknown; an empty variant of arm64 and amd64 also stands for their default.

    Attributes:
        os: the operating system by Go's name (GOOS).
        architecture: the processor architecture by Go's name (GOARCH).
        variant: the variant of the architecture, such as ``v7``.
    """

    os: str
    architecture: str
    variant: str = ""

    def __repr__(self) -> str:
        return f"Platform('{self}')"

    @classmethod
    def parse(cls, text: str, subject: str = "platform") -> Platform:
        """Parse ``[OS/]ARCHITECTURE[/VARIANT]``, or a Nix system such as ``aarch64-linux``.

        The default operating system is linux.

        Raises:
            InvalidArgument: the architecture or variant is unknown; the message begins with ``subject``.

        """
        words = text.strip().lower()
        system = _NIX_SYSTEM.fullmatch(words)
        parts = [system[2], system[1]] if system and words not in WORDS else words.split("/")
        if len(parts) < 3 and _is_architecture(parts[0]):
            parts = [LINUX, *parts]
        found = cls.of(*parts) if len(parts) in (2, 3) and all(parts) else cls("", "")
        if found.architecture not in ARCHITECTURES or not _is_variant(found.variant, found.architecture):
            similar = "" if "/" in text else format_suggestion(text, ARCHITECTURES)
            raise InvalidArgument(
                subject,
                short_repr(text),
                "an architecture such as amd64, arm64 or arm/v7",
                hint=" ".join(filter(None, [similar, f"there are {', '.join(ARCHITECTURES)}"])),
            )
        return found

    @classmethod
    def of(cls, system: str, architecture: str, variant: str = "") -> Platform:
        """Return the platform with these names; known names are translated to Go's, and others are not checked."""
        translated, implied = WORDS.get(architecture.lower(), (architecture, ""))
        number = variant.lower()
        named = (f"v{number}" if number[:1].isdigit() and translated in _DEFAULT_VARIANTS else number) or implied
        is_usual = translated != "arm" and named == _DEFAULT_VARIANTS.get(translated)
        return cls(system, translated, "" if is_usual else named)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Platform:
        """Return the platform in an image config, or in the ``platform`` of a descriptor, unchecked."""
        system, architecture, variant = (document.get(key) for key in ("os", "architecture", "variant"))
        return cls.of(*(value if isinstance(value, str) else "" for value in (system, architecture, variant)))

    @property
    def name(self) -> str:
        """The architecture as ``ARCHITECTURE[/VARIANT]``, in the form of ``--architecture``."""
        return "/".join(filter(None, (self.architecture, self.variant)))

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.name)))

    def match_rank(self, requested: Platform) -> tuple[int, ...] | None:
        """Return how well an image of this platform suits a request, or None if it cannot run there.

        The smallest rank is the best. The best variant is the highest one that is not above that of ``requested``, as
        in containerd (platforms, "Only"). If no variant is requested, variants above the default come last. A platform
        without a known architecture ranks below all others.
        """
        if not self.architecture:
            return (2,)
        if self.architecture != requested.architecture or (self.os and self.os != requested.os):
            return None
        own, most = (
            _parse_variant(platform.variant or _DEFAULT_VARIANTS.get(platform.architecture, ""))
            for platform in (self, requested)
        )
        if own is None or most is None:
            return (0,) if self.variant == requested.variant else (1, 0) if not requested.variant else None
        if own <= most:
            return 0, most - own
        return None if requested.variant else (1, own)


NO_PLATFORM = Platform("", "")
"""The platform of what is for none, or for several: an image index, or an image that does not state one."""


def _is_variant(variant: str, architecture: str) -> bool:
    return not variant or bool(_VARIANTS.get(architecture, _OTHER_VARIANT).fullmatch(variant))


def _is_architecture(word: str) -> bool:
    return word in ARCHITECTURES or word in WORDS


def _parse_variant(variant: str) -> int | None:
    """Return ten times the number of a variant such as v8.1, or None for variants of another form."""
    found = re.fullmatch(r"v([0-9])(?:\.([0-9]))?", variant)
    return 10 * int(found[1]) + int(found[2] or 0) if found else None
