"""Parse the references that an image is pushed to, and those whose layers a push may use.

Other programs write destinations with a transport in front (containers-transports(5)). ``docker://`` means a registry
too; the error for another one names the way to that destination.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from lamina.errors import InvalidArgument
from lamina.formats.registry_references import RegistryReference
from lamina.formats.transports import REGISTRY_TRANSPORT, make_destination_hint, split_transport
from lamina.inputs.parsers import parse_text
from lamina.messages.redaction import short_repr

References = str | RegistryReference | Iterable[str | RegistryReference]
"""One or several references."""
_EXPECTED = "an image in a registry: HOST[:PORT]/REPOSITORY[:TAG]"


_PATH_STARTS = (".", "/")
_FILES_HINT = "lamina build … -o writes files and folders"


def parse_references(name: str, value: References) -> tuple[RegistryReference, ...]:
    """Parse the argument ``name``, references to images in registries, each with or without ``docker://``.

    Raises `InvalidArgument`.
    """
    return tuple(
        item if isinstance(item, RegistryReference) else parse_reference(name, item) for item in _list(name, value)
    )


def parse_reference(name: str, value: str) -> RegistryReference:
    """Parse the argument ``name``, a reference to an image in a registry. Raises `InvalidArgument`."""
    text = parse_text(name, value)
    hint = "" if text.startswith(_PATH_STARTS) else f"{REGISTRY_TRANSPORT}{text} is an image in a registry"
    return _parse(name, text, hint)


def parse_targets(name: str, value: References) -> tuple[RegistryReference, ...]:
    """Parse the argument ``name``, the tags that an image is pushed to. Raises `InvalidArgument`."""
    references = tuple(
        item if isinstance(item, RegistryReference) else _parse_target(name, parse_text(name, item))
        for item in _list(name, value)
    )
    if not references:
        raise InvalidArgument(name, "none", _EXPECTED)
    for reference in references:
        if reference.digest:
            raise InvalidArgument(name, f"{reference}, a name with a digest", "a tag: the digest results from the push")
    return references


def _list(name: str, value: References) -> Iterable[str | RegistryReference]:
    items = [value] if isinstance(value, (str, RegistryReference)) else value
    if not isinstance(items, Iterable) or isinstance(items, Mapping | bytes):
        raise InvalidArgument(name, short_repr(value), "a list of strings")
    return items


def _parse_target(name: str, text: str) -> RegistryReference:
    if found := split_transport(text):
        raise InvalidArgument(name, f"the transport {found[0]}:", _EXPECTED, hint=make_destination_hint(*found))
    return _parse(name, text, _FILES_HINT)


def _parse(name: str, text: str, files_hint: str) -> RegistryReference:
    if text.startswith(_PATH_STARTS) or os.path.lexists(text):
        raise InvalidArgument(name, f"{short_repr(text)}, a file or folder", _EXPECTED, hint=files_hint)
    try:
        return RegistryReference.parse(text)
    except InvalidArgument as error:
        raise error.add_context(name) from None
