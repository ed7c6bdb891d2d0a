"""Errors for values of ``--store`` that lamina cannot read as a store, with hints about the probable intention."""

from __future__ import annotations

import re
from urllib.parse import parse_qs

from lamina.errors import InvalidArgument, Unavailable
from lamina.messages.redaction import short_repr
from lamina.transports.open import is_nix_store
from lamina.transports.urls import redact_url

_EXPECTED = "a folder, a closure graph in JSON or the URL of a binary cache"
# Stores of this machine (Nix manual, "Store Types").
_LOCAL = {"auto", "daemon", "local", "unix"}
_SCHEME = re.compile("(https?|s3|file):(/*)(.*)", re.DOTALL)
_HOST = re.compile(r"(?:[a-z0-9-]+\.)+[a-z]{2,63}(?::[0-9]+)?(?:/.*)?", re.IGNORECASE)
_LOCAL_HOST = re.compile(r"localhost(?::[0-9]+)?(?:/.*)?", re.IGNORECASE)
_FILE_NAME = re.compile(r".*\.(json|sqlite|nar|narinfo|tar|toml|txt)", re.DOTALL)


def find_nix_store_error(location: str) -> InvalidArgument | None:
    """Return the error if ``location`` is a store that only Nix can read, such as ``local?root=/x`` or ``ssh://``."""
    if not is_nix_store(location):
        return None
    name, _, query = location.partition("?")
    (root,) = parse_qs(query).get("root", [""])[:1]
    if root:
        hint = f"--store {root} reads the store below {root}"
    elif name.partition(":")[0] in _LOCAL:
        hint = "without --store, or with --store /, lamina reads the store of this machine"
    else:
        hint = f"copy the paths into a folder first: nix copy --from {location} --to file:///FOLDER PATH"
    return InvalidArgument(f"store {short_repr(redact_url(location))}", "a store of Nix", _EXPECTED, hint=hint)


def make_missing_error(location: str) -> Unavailable | InvalidArgument:
    """Return the error for a ``location`` that is not a URL and does not exist."""
    return find_nix_store_error(location) or Unavailable(
        f"store {location}", "nothing there", _EXPECTED, hint=_suggest_url(location)
    )


def _suggest_url(location: str) -> str:
    scheme = _SCHEME.fullmatch(location)
    if scheme:
        return f"write {scheme[1]}://{'/' if scheme[1] == 'file' else ''}{scheme[3]}"
    if _LOCAL_HOST.fullmatch(location):
        return f"write http://{location}"
    if _HOST.fullmatch(location) and not _FILE_NAME.fullmatch(location):
        return f"write https://{location}"
    return ""
