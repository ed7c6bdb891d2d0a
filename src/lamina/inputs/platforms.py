"""The platforms of an image: parse them, and expand the arguments of several images into those of one for each.

    platforms = ["linux/amd64", "linux/arm64"]
    contents = ["certificates"]
    roots = {"linux/amd64" = ["/nix/store/…-hello"], "linux/arm64" = ["/nix/store/…-hello"]}

The contents of a platform's image are the common ones, and then its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lamina.errors import InvalidArgument
from lamina.inputs import parsers
from lamina.messages.redaction import join_names, short_repr

if TYPE_CHECKING:
    from lamina.inputs.arguments import StrPath

PlatformRoots = tuple[tuple[str, tuple[str, ...]], ...]
"""The ROOTs of each platform, which is written as ``linux/arm64``."""
_EXPECTED = "an object of lists of ROOTs, such as {'linux/arm64': ['/nix/store/…']}, or a list of OS/ARCH=ROOT"
_SEVERAL_HINT = (
    "lamina build and lamina push make images for several platforms, in Python build_image_index and push_image_index"
)


def parse_platforms(name: str, value: str | Sequence[str]) -> tuple[str, ...]:
    """Parse a list of platforms, or a single one. Raises `InvalidArgument` if one is given twice."""
    found: list[str] = []
    for text in parsers.parse_texts(name, value):
        platform = _parse_platform(name, text)
        if platform in found:
            raise InvalidArgument(name, f"{platform} twice", "each platform once")
        found.append(platform)
    return tuple(found)


def parse_roots(name: str, value: Mapping[str, StrPath | Iterable[StrPath]] | Sequence[str]) -> PlatformRoots:
    """Parse the ROOTs of platforms; those that are given for one platform in several places add up."""
    found: dict[str, tuple[str, ...]] = {}
    for platform, roots in value.items() if isinstance(value, Mapping) else _split(name, value):
        key = _parse_platform(name, platform)
        texts = parsers.parse_texts(name, roots)
        if "" in texts:
            raise InvalidArgument(name, "''", "a store path or the name of a package")
        found[key] = (*found.get(key, ()), *texts)
    return tuple(found.items())


def _parse_platform(name: str, text: Any) -> str:
    from lamina.formats.platform import Platform

    return str(Platform.parse(parsers.parse_text(name, text), name))


def _split(name: str, value: Any) -> Iterable[tuple[Any, Any]]:
    """Yield the platform and the ROOTs of each ``OS/ARCH=ROOT``; pairs stay as they are."""
    if not isinstance(value, Iterable) or isinstance(value, str | bytes):
        raise InvalidArgument(name, short_repr(value), _EXPECTED)
    for item in value:
        if isinstance(item, tuple | list) and len(item) == 2:
            yield item[0], item[1]
            continue
        platform, equals, root = item.partition("=") if isinstance(item, str) else ("", "", "")
        if not equals or not root:
            raise InvalidArgument(name, short_repr(item), "OS/ARCH=ROOT, such as linux/arm64=/nix/store/…-hello")
        yield platform, root


def expand_platforms(arguments: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the arguments of the image for each platform, in the order in which the platforms were given.

    The platforms are those of ``platforms``, or else those that ``roots`` names. Without any, there is one image, whose
    platform is empty in the result and decided later.

    Args:
        arguments: those of `ImageArguments`, unchecked.

    Raises:
        InvalidArgument: an argument is wrong, ``roots`` names another platform, or ``architecture`` contradicts them.

    """
    platforms = parse_platforms("platforms", arguments.get("platforms", ()))
    roots = dict(parse_roots("roots", arguments.get("roots", ())))
    common = {key: value for key, value in arguments.items() if key not in ("platforms", "roots")}
    source, names = ("platforms", platforms) if platforms else ("roots", tuple(roots))
    if not names:
        return {"": common}
    _check_roots(platforms, roots)
    _check_architecture(source, names, arguments.get("architecture"))
    contents = parsers.parse_texts("contents", arguments.get("contents", ()))
    return {
        name: {**common, "contents": (*contents, *roots.get(name, ())), "architecture": _get_architecture(source, name)}
        for name in names
    }


def select_platform(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the only image, with the architecture of its platform.

    Raises:
        InvalidArgument: there are several platforms, or what `expand_platforms` raises.

    """
    images = expand_platforms(arguments)
    if len(images) > 1:
        raise InvalidArgument("platforms", join_names(images), "one platform here", hint=_SEVERAL_HINT)
    (selected,) = images.values()
    return selected


def _check_roots(platforms: Sequence[str], roots: Iterable[str]) -> None:
    unknown = [name for name in roots if platforms and name not in platforms]
    if unknown:
        raise InvalidArgument("roots", f"{unknown[0]}, which is not among the platforms", join_names(platforms))


def _check_architecture(source: str, platforms: Sequence[str], architecture: str | None) -> None:
    given = parsers.parse_architecture("architecture", architecture)
    if given is not None and any(_get_architecture(source, name) != given for name in platforms):
        got = f"{given} and the platform{'s' if len(platforms) > 1 else ''} {join_names(platforms)}"
        raise InvalidArgument("architecture", got, "one of them", hint="a platform says the architecture too")


def _get_architecture(source: str, platform: str) -> str:
    """Return the architecture of a platform, with its variant; ``source`` is the argument that has the platform.

    Raises `InvalidArgument` if it is not for Linux.
    """
    return parsers.parse_architecture(source, platform) or ""
