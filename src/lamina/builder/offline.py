"""Refuse images in registries, which need the network, where it may not be used."""

from __future__ import annotations

from lamina.errors import InvalidArgument


def refuse_reference(argument: str, image: str, file: str) -> None:
    """Raise `InvalidArgument` about ``argument`` if ``image`` is in a registry; the hint pulls it to ``file``."""
    from lamina.images.readers.references import find_reference

    if reference := find_reference(image):
        hint = f"fetch it first: lamina pull {reference} -o {file}"
        raise InvalidArgument(argument, f"{reference} and offline", "a file or an OCI layout", hint=hint)
