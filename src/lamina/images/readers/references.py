"""References of images where a file is expected, and the commands that make a file of them.

lamina reads files and folders. Other programs name images in registries and engines as well: ``debian:12``, or with a
transport in front, ``docker://debian:12`` (containers-transports(5)). A reference is recognised only if there is no
file of that name.
"""

from __future__ import annotations

import os
import re
import shlex

from lamina.core.names import ImageReference, parse_repository
from lamina.errors import InputError, InvalidArgument

_EXPECTED = "an image file or an OCI layout"
# Transports that name a file or folder which lamina reads. ``NAME`` after a second colon chooses an image in it.
_FILE_TRANSPORTS = ("oci", "oci-archive", "docker-archive")
# Transports that name an image in a registry or an engine, and the command that saves it.
_SAVE_COMMANDS = {
    "docker": "skopeo copy docker:{} docker-archive:{}",
    "docker-daemon": "docker save {} -o {}",
    "containers-storage": "podman save {} -o {}",
    "dir": "skopeo copy dir:{} docker-archive:{}",
}
_FILE_NAME = re.compile(r".*\.(tar|tgz|gz|zst|xz|json)")
_UNSAFE = re.compile("[^A-Za-z0-9._-]+")
_MAX_LENGTH = 500


def refuse_reference(text: str) -> None:
    """Raise `InputError` if ``text`` names an image that is not in a file or folder; the hint has what to do."""
    if not text or len(text) > _MAX_LENGTH or "\0" in text or os.path.lexists(text):
        return
    if text == "-":
        raise InputError(text, "stdin", _EXPECTED, hint="write /dev/stdin")
    transport, colon, rest = text.partition(":")
    if colon and transport in _FILE_TRANSPORTS:
        file, _, name = rest.partition(":")
        hint = f"write {file}#{name}" if name else f"write {file}"
        raise InputError(text, f"the transport {transport}:", f"{_EXPECTED}, by its name alone", hint=hint)
    if colon and transport in _SAVE_COMMANDS:
        hint = _make_save_hint(transport, rest)
        raise InputError(text, f"an image of the transport {transport}:", _EXPECTED, hint=hint)
    if re.match("https?://", text):
        raise InputError(text, "a URL", _EXPECTED, hint=f"download the file first: curl -LO {shlex.quote(text)}")
    file, colon, name = text.partition(":")
    if colon and os.path.isfile(file):
        raise InputError(text, "no such file", _EXPECTED, hint=f"{file}#{name} chooses an image in {file}")
    if _is_reference(text):
        raise InputError(text, "the name of an image in a registry", _EXPECTED, hint=_make_save_hint("docker", text))


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


def _is_reference(text: str) -> bool:
    """Tell whether ``text`` is NAME:TAG, NAME@DIGEST, HOST/NAME, or a word that is not the name of a file."""
    name, at, digest = text.partition("@")
    if _FILE_NAME.fullmatch(text) or (at and not digest.startswith("sha")):
        return False
    host, slash, _ = name.partition("/")
    try:
        if ":" in name.rpartition("/")[2]:
            ImageReference.parse(name)
            return True
        parse_repository(name)
    except InvalidArgument:
        return False
    is_host = "." in host or ":" in host or host == "localhost"
    return bool(at) or (is_host and not os.path.exists(host) if slash else "." not in name)
