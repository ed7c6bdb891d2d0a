"""Redaction of messages: secrets are removed from values, and long values are shortened.

`lamina.errors.Error` passes every message through `clean`, and `short_repr` passes every value through `clean_value`,
so code that puts a user's value into a message cannot print a password by mistake.

The following count as secrets: the user and password before an ``@``, in valid and invalid URLs; the query and fragment
of a URL, which may contain access keys; the value of a setting whose name contains password, secret, token or key; and
the base 64 of a signing key.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection
from functools import cache
from reprlib import Repr

MAX_VALUE_LENGTH = 200
_MAX_LISTED = 20
_MAX_NAME_LENGTH = 80
_MAX_TEXT_LENGTH = 160
_MAX_REPR_LENGTH = 60
MAX_SUBJECT_LENGTH = 240
MAX_MESSAGE_LENGTH = 1500
# Longer texts are cut before the patterns search them, because some patterns take quadratic time.
_MAX_SEARCHED_LENGTH = 4096
_HIDDEN = "***"

# A well-known scheme is recognised without slashes too.
_SCHEME = r"(?<![A-Za-z0-9+.-])(?:(?:https?|s3|file|ssh|ftp):/*|[A-Za-z0-9+.-]{2,}+:/+)"
# A digest after a name, as in ``NAME@sha256:…``.
_DIGEST = r"sha(?:1|256|512)[:-][A-Za-z0-9+/]{3}"
# ``user:pass word@host`` with or without a scheme. Digits after the colon are a port, unless an ``@`` follows them. The
# password ends at the last ``@`` of this part of the message.
_PASSWORD_WITH_SPACES = (
    rf"(?:({_SCHEME})|(?<![^\s'\"(\[{{=]))(?!sha\d)[^\s/?#@:'\"]*+:(?![\s/]|\d{{1,5}}(?:[^\d@]|$))"
    rf"(?:(?!: got |, expected )[\s\S])*@(?!{_DIGEST})"
)
# A URL that ends, or was cut, before the ``@``: the text after the user is not a port, so it is a password.
_CUT_PASSWORD = rf"({_SCHEME}[^\s/?#@:]*):(?!\d{{1,5}}(?:[/?#]|$))[^\s/?#@]"
# ``PASSWORD=word``, ``aws_secret_access_key = word`` and ``"token": "word"``, as in variables and settings.
_SETTING = (
    r"(?i)(?<![\w.-])([\w.-]*(?:passw|secret|token|credential|api[_-]?key|access[_-]?key|private[_-]?key)[\w.-]*+"
    r"(?:['\"]?\s*=\s*|['\"]\s*:\s*)['\"]?)[^\s'\",]+"
)
_MIN_KEY_LENGTH = 40
# The base 64 of a key. The base 64 after ``sha512-`` is a digest and stays.
_KEY = rf"(?<!sha256-)(?<!sha512-)(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{{{_MIN_KEY_LENGTH},}}+={{0,2}}"
# Lengths without padding of the base 64 of 32 and of 64 bytes: a public key and a secret key of Ed25519.
_KEY_LENGTHS = (43, 86)
_MIXED = r"(?=[^A-Z]*[A-Z])(?=[^a-z]*[a-z])"
# A key differs from a file's path: it has 20 characters without a slash, with capitals, small letters and digits.
_RANDOM = r"(?=[^/]*[A-Z])(?=[^/]*[a-z])(?=[^/]*[0-9])[^/]{20,}"


def cut(text: str, max_length: int = MAX_VALUE_LENGTH) -> str:
    """Shorten ``text`` to ``max_length`` characters; its beginning and its end stay."""
    if len(text) <= max_length:
        return text
    tail = max_length // 4
    return f"{text[: max_length - tail - 1]}…{text[-tail:]}"


def clean(text: str) -> str:
    """Remove secrets from ``text``, a part of a message that contains the user's values, and cut long words."""
    return _shorten_words(_remove_secrets(text))


def clean_value(value: str) -> str:
    """Return ``value`` without secrets. It is a single value, so a password in it may contain white space."""
    value = _limit_length(value)
    if ":" in value.rpartition("@")[0]:
        value = _remove_userinfo(value)
    return _remove_secrets(value)


def clean_url(url: str) -> str:
    """Return ``url``, valid or not, without user, password, query and fragment."""
    url = _limit_length(url)
    if _compile(_SCHEME).search(url) or ":" in url[: max(_find_last_at(url), 0)]:
        url = _remove_userinfo(url)
    if cut_off := _compile(_CUT_PASSWORD).search(url):
        return f"{cut_off[1]}:{_HIDDEN}"
    return _compile("[?#]").split(url, 1)[0]


def holds_secret(text: str) -> bool:
    """Return whether ``text`` looks like a URL that contains a password or key, or like a signing key."""
    return clean_value(text) != text


class _Repr(Repr):
    """A ``repr`` with a limit for each part, so that printing a large value takes no longer than a small one."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 30
        self.maxother = self.maxlong = _MAX_REPR_LENGTH

    def repr_str(self, x: str, level: int) -> str:
        return repr(clean_value(x)[: _MAX_TEXT_LENGTH + 1])

    def repr_bytes(self, x: bytes, level: int) -> str:
        return repr(x[: _MAX_TEXT_LENGTH + 1])


def short_repr(value: object) -> str:
    """Return the ``repr`` of ``value`` without secrets, cut to 160 characters for a text, to 60 for another value."""
    try:
        text = _Repr().repr(value)
    except (ValueError, RecursionError):  # an integer with too many digits, or lists nested too deep
        text = f"a {type(value).__name__} too long to print"
    text = _remove_secrets(text)
    max_length = _MAX_TEXT_LENGTH if isinstance(value, (str, bytes)) else _MAX_REPR_LENGTH
    return text if len(text) <= max_length else text[: max_length - 3] + "..."


def join_names(values: Collection[object], placeholder: str = "none") -> str:
    """Join the first few names for a message and add how many more there are; return ``placeholder`` for no names."""
    names: list[str] = []
    for value in itertools.islice(values, _MAX_LISTED):
        names.append(cut(clean_value(str(value)), _MAX_NAME_LENGTH))
        if sum(map(len, names)) > MAX_VALUE_LENGTH:
            break
    more = f" and {len(values) - len(names)} more" if len(values) > len(names) else ""
    return ", ".join(names) + more if names else placeholder


def _limit_length(text: str) -> str:
    """Cut ``text`` to a length that can be searched, and remove the user and password if it was cut."""
    if len(text) <= _MAX_SEARCHED_LENGTH:
        return text
    before, at, after = text.rpartition("@")
    return (f"{_HIDDEN}@{after}" if at and ":" in before else text)[:_MAX_SEARCHED_LENGTH]


def _remove_userinfo(value: str) -> str:
    """Return ``value``, a URL or ``USER:PASSWORD@HOST``, without the user and password before its last ``@``."""
    at = _find_last_at(value)
    if at < 0:
        return value
    scheme = _compile(_SCHEME).search(value, 0, at)
    prefix = scheme[0] if scheme else ""
    if prefix.startswith("file:///") and ":" not in value[len(prefix) : at]:
        return value  # the file's name has an '@'; a file URL has no user
    if _compile("[?#]").search(value, scheme.end() if scheme else 0, at):
        # Either the password has a '?', or the query has an '@'. It is impossible to tell, so hide both.
        return f"{prefix}{_HIDDEN}"
    return f"{prefix or _HIDDEN + '@'}{value[at + 1 :]}"


def _find_last_at(text: str) -> int:
    """Return the index of the last ``@`` that does not begin a digest, as in ``NAME@sha256:…``; -1 if there is none."""
    found = _compile(rf".*@(?!{_DIGEST})", re.DOTALL).match(text)
    return found.end() - 1 if found else -1


def _shorten_words(text: str) -> str:
    if len(text) <= MAX_VALUE_LENGTH:
        return text
    return _compile(rf"\S{{{MAX_VALUE_LENGTH + 1},}}").sub(lambda found: cut(found[0]), text)


def _remove_secrets(text: str) -> str:
    text = _limit_length(text)
    if "@" in text:
        text = _compile(_PASSWORD_WITH_SPACES).sub(lambda found: found[1] or f"{_HIDDEN}@", text)
    if "@" in text or _compile(_SCHEME).search(text):
        text = _compile(r"\S+").sub(_clean_word, text)
    if "=" in text or ":" in text:
        text = _compile(_SETTING).sub(rf"\1{_HIDDEN}", text)
    return _compile(_KEY).sub(_hide_key, text) if len(text) >= _MIN_KEY_LENGTH else text


def _hide_key(found: re.Match[str]) -> str:
    """Replace a match that may be a key; return a long path unchanged."""
    is_key = _is_whole_key(found) or any(map(_compile(_RANDOM).match, found[0].split("/")))
    return _HIDDEN if is_key else found[0]


def _is_whole_key(found: re.Match[str]) -> bool:
    """Return whether a match ends in the base 64 of 32 or 64 bytes, with padding or after a name and a colon.

    A key may have a slash anywhere, so slashes are allowed here.
    """
    digits, start, end = found[0].rstrip("="), found.start(), found.end()
    if len(digits) < min(_KEY_LENGTHS) or not _compile(_MIXED).match(digits[-min(_KEY_LENGTHS) :]):
        return False
    if len(found[0]) > len(digits):
        return not found.string[end : end + 1].isalnum()  # else it is a path before an equals sign and a value
    return len(digits) in _KEY_LENGTHS and found.string[max(start - 1, 0) : start] == ":"


def _clean_word(found: re.Match[str]) -> str:
    """Clean a word if it is a URL or has the form ``USER:PASSWORD@HOST``."""
    word = found[0]
    if not _compile(_SCHEME).search(word) and ":" not in word[: max(_find_last_at(word), 0)]:
        return word
    opened = word.lstrip("'\"([{")
    value = opened.rstrip(":;,.)]}'\"")
    return word[: len(word) - len(opened)] + clean_url(value) + opened[len(value) :]


@cache
def _compile(text: str, flags: int = 0) -> re.Pattern[str]:
    """Compile a pattern when it is first needed: most runs print no message."""
    return re.compile(text, flags)
