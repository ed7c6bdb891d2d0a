"""Errors for image references where a file is expected, with the command that saves the image to a file.

lamina reads files and folders. Other programs also accept the names of images in registries and engines: ``debian:12``,
or with a transport before it, ``docker://debian:12`` (containers-transports(5)). A reference is recognised only if
there is no file with that name.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import NamedTuple

from lamina.core.names import ImageReference
from lamina.errors import InputError, InvalidArgument
from lamina.messages.redaction import holds_secret

_EXPECTED = "an image file or an OCI layout"
# Transports for files and folders that lamina can read. ``NAME`` after a second colon selects an image in the file.
_FILE_TRANSPORTS = ("oci", "oci-archive", "docker-archive")
# Transports for images in a registry or an engine, and the command that saves such an image to a file.
_SAVE_COMMANDS = {
    "docker": "skopeo copy docker:{} docker-archive:{}",
    "docker-daemon": "docker save {} -o {}",
    "containers-storage": "podman save {} -o {}",
    "dir": "skopeo copy dir:{} docker-archive:{}",
}
_FILE_NAME = re.compile(r".*\.(tar|tgz|gz|zst|xz|json)")
_UNSAFE = re.compile("[^A-Za-z0-9._-]+")
_MAX_LENGTH = 500


def find_reference_error(text: str) -> InputError | None:
    """Return the error if ``text`` names an image that is not in a file or folder, with a hint how to save it."""
    if not text or len(text) > _MAX_LENGTH or "\0" in text or os.path.lexists(text):
        return None
    if holds_secret(text):  # in a hint, a part of the secret might not be recognised as a secret
        return None
    explained = _explain_transport(text) or _explain_name(text)
    return InputError(text, explained.got, _EXPECTED, hint=explained.hint) if explained else None


class _Explanation(NamedTuple):
    got: str
    hint: str


def _explain_transport(text: str) -> _Explanation | None:
    transport, colon, rest = text.partition(":")
    if colon and transport in _FILE_TRANSPORTS:
        file, _, name = rest.partition(":")
        hint = f"write {file}#{name}" if name else f"write {file}"
        return _Explanation(f"the transport {transport}:", f"leave the transport out: {hint}")
    if colon and transport in _SAVE_COMMANDS:
        return _Explanation(f"an image of the transport {transport}:", _make_save_hint(transport, rest))
    if re.match("https?://", text):
        return _Explanation("a URL", f"download the file first: curl -LO {shlex.quote(text)}")
    return None


def _explain_name(text: str) -> _Explanation | None:
    if text == "-":
        return _Explanation("stdin", "write /dev/stdin")
    file, colon, name = text.partition(":")
    if colon and os.path.isfile(file):
        return _Explanation("no such file", f"{file}#{name} chooses an image in {file}")
    if not _is_repository(text):
        return None
    got = "the name of an image in a registry" if _is_unlike_a_file(text) else "no such file"
    return _Explanation(got, f"for an image in a registry, {_make_save_hint('docker', text)}")


def make_directory_error(folder: object) -> InputError:
    """Return the error for a folder that skopeo wrote with the transport ``dir:``."""
    got = "a folder in the format of skopeo's dir:"
    return InputError(folder, got, _EXPECTED, hint=_make_save_hint("dir", str(folder)))


def _make_save_hint(transport: str, name: str) -> str:
    reference = name.removeprefix("//").partition("@")[0]
    base = reference.rpartition("/")[2] if transport == "dir" else reference.rpartition("/")[2].partition(":")[0]
    file = f"{_UNSAFE.sub('-', base).strip('.-') or 'image'}.tar"
    given = f"//{name}" if transport == "docker" and not name.startswith("//") else name
    return f"save it to a file first: {_SAVE_COMMANDS[transport].format(shlex.quote(given), file)}"


def _is_repository(text: str) -> bool:
    """Return whether ``text`` looks like a name in a registry: NAME:TAG, NAME@DIGEST, HOST/NAME or a single word."""
    name, _, digest = text.partition("@")
    if _FILE_NAME.fullmatch(text) or (digest and not digest.startswith("sha")):
        return False
    try:
        ImageReference.parse(name if _has_tag(name) else f"{name}:latest")
    except InvalidArgument:
        return False
    return _is_unlike_a_file(text) or not ("/" in text or "." in text)


def _is_unlike_a_file(text: str) -> bool:
    host, slash, _ = text.partition("/")
    is_host = bool(slash) and ("." in host or ":" in host or host == "localhost") and not os.path.exists(host)
    return is_host or "@" in text or _has_tag(text)


def _has_tag(name: str) -> bool:
    return ":" in name.rpartition("/")[2]
