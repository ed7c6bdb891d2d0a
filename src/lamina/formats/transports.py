"""Transports: what other programs write before the name of an image to say where it is (containers-transports(5)).

``docker://`` stands for a registry. In a transport such as ``docker-daemon:`` or ``oci:`` lamina neither pulls nor
pushes, so an error names the command that gets an image out of there, or into it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

REGISTRY_TRANSPORT = "docker://"
"""The prefix that skopeo and podman write before a reference to an image in a registry."""
_UNSAFE = re.compile("[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class ImageTransport:
    """A place of images that is no registry.

    Attributes:
        destination: how an image gets there; ``{}`` stands for the file or folder.
        save: the command that saves an image from there to a file; empty if lamina reads it there, as ``FILE#NAME``.
    """

    destination: str
    save: str = ""


TRANSPORTS: Mapping[str, ImageTransport] = {
    "oci": ImageTransport("lamina build … -o {}/ writes an OCI layout"),
    "oci-archive": ImageTransport("lamina build … -o {} writes an image file"),
    "docker-archive": ImageTransport("lamina build … -o {} writes an image file"),
    "docker-daemon": ImageTransport("lamina stream … | docker load brings the image to docker", "docker save {} -o {}"),
    "containers-storage": ImageTransport(
        "lamina stream … | podman load brings the image to podman", "podman save {} -o {}"
    ),
    "dir": ImageTransport("lamina build … -o {}/ writes an OCI layout", "skopeo copy dir:{} docker-archive:{}"),
}


def split_transport(text: str) -> tuple[str, str] | None:
    """Split ``TRANSPORT:REST``; None if ``text`` has none of `TRANSPORTS` before it."""
    name, colon, rest = text.partition(":")
    return (name, rest) if colon and name in TRANSPORTS else None


def make_destination_hint(transport: str, rest: str) -> str:
    """Return how lamina brings an image to ``TRANSPORT:REST``."""
    return TRANSPORTS[transport].destination.format(rest.partition(":")[0].rstrip("/"))


def make_source_hint(transport: str, rest: str) -> str:
    """Return how lamina gets at the image ``TRANSPORT:REST``."""
    if TRANSPORTS[transport].save:
        return make_save_hint(transport, rest)
    return f"it is a file or folder already: lamina inspect {shlex.quote(name_image_file(rest))} reads it"


def make_save_hint(transport: str, rest: str) -> str:
    """Return how an image is saved from a transport that lamina cannot read."""
    base = rest.rpartition("/")[2] if transport == "dir" else find_base(rest)
    command = TRANSPORTS[transport].save.format(shlex.quote(rest), name_archive(base))
    return f"save it to a file first: {command}"


def name_image_file(rest: str) -> str:
    """Return ``FILE#NAME`` for what is ``FILE:NAME`` after the transport of a file."""
    file, _, name = rest.partition(":")
    return f"{file}#{name}" if name else file


def find_base(reference: str) -> str:
    """Return the last part of a repository."""
    return reference.partition("@")[0].rpartition("/")[2].partition(":")[0]


def name_archive(base: str) -> str:
    """Return the name of a file for the image called ``base``."""
    return f"{_UNSAFE.sub('-', base).strip('.-') or 'image'}.tar"
