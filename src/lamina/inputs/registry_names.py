"""Parse the references that an image is pushed to, and those whose layers a push may use.

Other programs write destinations with a transport in front (containers-transports(5)). ``docker://`` means a registry
too; the error for another one names the way to that destination.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from lamina.errors import InvalidArgument
from lamina.formats.registry_references import RegistryReference
from lamina.inputs.parsers import parse_text
from lamina.messages.redaction import short_repr

References = str | RegistryReference | Iterable[str | RegistryReference]
"""One or several references."""
# The ways to the destinations of other transports.
_WAYS: Mapping[str, str] = {
    "oci": "lamina build … -o {}/ writes an OCI layout",
    "oci-archive": "lamina build … -o {} writes an image file",
    "docker-archive": "lamina build … -o {} writes an image file",
    "docker-daemon": "lamina stream … | docker load brings the image to docker",
    "containers-storage": "lamina stream … | podman load brings the image to podman",
    "dir": "lamina build … -o {}/ writes an OCI layout",
}
_EXPECTED = "an image in a registry: HOST[:PORT]/REPOSITORY[:TAG]"


def parse_references(name: str, value: References) -> tuple[RegistryReference, ...]:
    """Parse the argument ``name``, references to images in registries, each with or without ``docker://``.

    Raises `InvalidArgument`.
    """
    items = [value] if isinstance(value, (str, RegistryReference)) else value
    if not isinstance(items, Iterable) or isinstance(items, Mapping | bytes):
        raise InvalidArgument(name, short_repr(value), "a list of strings")
    return tuple(
        item if isinstance(item, RegistryReference) else _parse_reference(name, parse_text(name, item))
        for item in items
    )


def _parse_reference(name: str, text: str) -> RegistryReference:
    transport, colon, rest = text.partition(":")
    if colon and transport in _WAYS:
        hint = _WAYS[transport].format(rest.partition(":")[0].rstrip("/"))
        raise InvalidArgument(name, f"the transport {transport}:", _EXPECTED, hint=hint)
    if text.startswith((".", "/")) or os.path.isdir(text):
        raise InvalidArgument(
            name, f"{short_repr(text)}, a file or folder", _EXPECTED, hint="lamina build … -o writes files and folders"
        )
    try:
        return RegistryReference.parse(text)
    except InvalidArgument as error:
        raise error.add_context(name) from None


def parse_targets(name: str, value: References) -> tuple[RegistryReference, ...]:
    """Parse the argument ``name``, the tags that an image is pushed to. Raises `InvalidArgument`."""
    references = parse_references(name, value)
    if not references:
        raise InvalidArgument(name, "none", _EXPECTED)
    for reference in references:
        if reference.digest:
            raise InvalidArgument(name, f"{reference}, a name with a digest", "a tag: the digest results from the push")
    return references
