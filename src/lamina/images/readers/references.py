"""Tell image references from names of files, and explain those that lamina cannot read.

An image is a file, a folder or a reference to an image in a registry: ``debian:12``, or with a transport before it,
``docker://debian:12`` (containers-transports(5)). A text is a reference only if there is no file with that name.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import NamedTuple

from lamina.core.names import ImageReference
from lamina.errors import InputError, InvalidArgument
from lamina.formats.registry_references import RegistryReference
from lamina.formats.transports import (
    REGISTRY_TRANSPORT,
    TRANSPORTS,
    find_base,
    make_save_hint,
    name_archive,
    name_image_file,
    split_transport,
)
from lamina.messages.redaction import holds_secret

_EXPECTED = "an image file, an OCI layout or a reference"
_FILE_EXPECTED = "an image file or an OCI layout"
_PULL_COMMAND = "lamina pull {} -o {}"
_FILE_NAME = re.compile(r".*\.(tar|tgz|gz|zst|xz|json)")
_HOST = re.compile(r"(localhost|[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+|\[[0-9a-f:]+\])(?P<port>:[0-9]{1,5})?")
_MAX_LENGTH = 500


def find_reference(text: str) -> RegistryReference | None:
    """Return the reference that ``text`` is, or None if it is not one, or a file has that name.

    A reference has a registry, a tag, a digest or ``docker://`` before it. A single word may be a misspelled file.

    Raises:
        InvalidArgument: it is a reference with a mistake: a password, capitals, or no valid name after a host.

    """
    if "\0" in text or os.path.lexists(text):
        return None
    if text.startswith(REGISTRY_TRANSPORT) or _has_registry(text):
        return RegistryReference.parse(text)
    if _may_be_file(text) or find_layout(text) or find_reference_error(text):
        return None
    return RegistryReference.parse(text) if _is_repository(text.lower()) and _is_qualified(text) else None


def has_tag_or_digest(text: str) -> bool:
    """Return whether a reference has a tag or a digest; one without them can mean the repository."""
    return "@" in text or _has_tag(text.removeprefix(REGISTRY_TRANSPORT))


def find_layout(text: str) -> tuple[str, str] | None:
    """Return the folder and the name that ``oci:DIR[:NAME]`` stands for, or None for any other text.

    The name is empty if there is none.
    """
    transport, _, rest = text.partition(":")
    if transport != "oci" or not rest or _may_be_file(text) or os.path.lexists(text):
        return None
    folder, _, name = rest.partition(":")
    return folder, name


def find_reference_error(text: str) -> InputError | None:
    """Return the error if ``text`` names an image that lamina cannot read from there, with a hint that helps."""
    if _may_be_file(text) or os.path.lexists(text):
        return None
    explained = _explain_transport(text) or _explain_name(text)
    return InputError(text, explained.got, _EXPECTED, hint=explained.hint) if explained else None


def make_pull_error(reference: RegistryReference) -> InputError:
    """Return the error for a reference where only files can be read."""
    return InputError(reference, "an image in a registry", _FILE_EXPECTED, hint=_make_pull_hint(str(reference)))


class _Explanation(NamedTuple):
    got: str
    hint: str


def _may_be_file(text: str) -> bool:
    """Return whether ``text`` can only be the name of a file; a hint must not show what may hold a secret."""
    return not text or len(text) > _MAX_LENGTH or "\0" in text or holds_secret(text)


def _explain_transport(text: str) -> _Explanation | None:
    found = split_transport(text)
    if found and TRANSPORTS[found[0]].save:
        return _Explanation(f"an image of the transport {found[0]}:", make_save_hint(*found))
    if found and found[0] != "oci":
        hint = f"leave the transport out: write {name_image_file(found[1])}"
        return _Explanation(f"the transport {found[0]}:", hint)
    if re.match("https?://", text):
        return _Explanation("a URL", f"download the file first: curl -LO {shlex.quote(text)}")
    return None


def _explain_name(text: str) -> _Explanation | None:
    if text == "-":
        return _Explanation("stdin", "write /dev/stdin")
    file, colon, name = text.partition(":")
    if colon and os.path.isfile(file):
        reference = f", {REGISTRY_TRANSPORT}{text} is an image in a registry" if _is_repository(text) else ""
        return _Explanation("no such file", f"{file}#{name} chooses an image in {file}{reference}")
    if _is_repository(text) and not _is_qualified(text):
        return _Explanation("no such file", f"{REGISTRY_TRANSPORT}{text} is an image in a registry")
    return None


def make_directory_error(folder: object) -> InputError:
    """Return the error for a folder that skopeo wrote with the transport ``dir:``."""
    got = "a folder in the format of skopeo's dir:"
    return InputError(folder, got, _FILE_EXPECTED, hint=make_save_hint("dir", str(folder)))


def _make_pull_hint(reference: str) -> str:
    command = _PULL_COMMAND.format(shlex.quote(reference), name_archive(find_base(reference)))
    return f"fetch it first: {command}"


def _is_repository(text: str) -> bool:
    """Return whether ``text`` looks like a name in a registry: NAME:TAG, NAME@DIGEST, HOST/NAME or a single word."""
    name, _, digest = text.partition("@")
    if _FILE_NAME.fullmatch(text) or (digest and not digest.startswith("sha")):
        return False
    try:
        ImageReference.parse(name if _has_tag(name) else f"{name}:latest")
    except InvalidArgument:
        return False
    return _is_qualified(text) or not ("/" in text or "." in text)


def _is_qualified(text: str) -> bool:
    """Return whether ``text`` has a registry, a tag or a digest, so that it is unlike the name of a file."""
    host, slash, _ = text.partition("/")
    is_host = bool(slash) and ("." in host or ":" in host or host == "localhost") and not os.path.exists(host)
    return is_host or "@" in text or _has_tag(text)


def _has_registry(text: str) -> bool:
    """Return whether ``text`` begins with a registry, so that a mistake after it is one of a reference.

    A folder may have a dot in its name, so what ends like an image file is one unless the host has a port. What follows
    a ``#`` is no part of a reference.
    """
    host, slash, _ = text.partition("/")
    found = _HOST.fullmatch(host) if slash and "#" not in text else None
    return bool(found and not os.path.exists(host) and (found["port"] or not _FILE_NAME.fullmatch(text)))


def _has_tag(name: str) -> bool:
    return ":" in name.rpartition("/")[2]
