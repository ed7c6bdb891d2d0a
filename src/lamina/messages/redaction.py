"""What a message may show of a value: none of the secrets in it, and only a part of a long one.

`lamina.errors.Error` passes every message through `clean`, and `short_repr` passes every value through `clean_value`,
so a caller that interpolates a value of the user's cannot print a password by mistake.

What counts as a secret: user and password before an ``@``, whether the URL around them is valid or not; the query and
fragment of a URL, which hold access keys; the value of a setting that is called a password, secret, token or key; and
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
_MAX_SUBJECT_LENGTH = 240
_MAX_MESSAGE_LENGTH = 1500
# Longer texts are cut before the patterns see them, because some patterns take quadratic time.
_MAX_SEARCHED_LENGTH = 4096
_HIDDEN = "***"
_GOT = ": got "

# The slashes may be missing where the scheme is a well-known one.
_SCHEME = r"(?<![A-Za-z0-9+.-])(?:(?:https?|s3|file|ssh|ftp):/*|[A-Za-z0-9+.-]{2,}+:/+)"
# ``user:pass word@host`` with or without a scheme. Digits after the colon are a port, unless an ``@`` follows them; a
# password goes on up to the last ``@`` of this part of the message.
_PASSWORD_WITH_SPACES = (
    rf"(?:({_SCHEME})|(?<![^\s'\"(\[{{=]))(?!sha\d)[^\s/?#@:'\"]*+:(?![\s/]|\d{{1,5}}(?:[^\d@]|$))"
    r"(?:(?!: got |, expected )[\s\S])*@(?!sha\d)"
)
# A URL that ends, or was cut, before the ``@``: what follows the user is not a port.
_CUT_PASSWORD = rf"({_SCHEME}[^\s/?#@:]*):(?!\d{{1,5}}(?:[/?#]|$))[^\s/?#@]"
# ``PASSWORD=word``, ``aws_secret_access_key = word`` and ``"token": "word"``, as in variables and settings.
_SETTING = (
    r"(?i)(?<![\w.-])([\w.-]*(?:passw|secret|token|credential|api[_-]?key|access[_-]?key|private[_-]?key)[\w.-]*+"
    r"(?:['\"]?\s*=\s*|['\"]\s*:\s*)['\"]?)[^\s'\",]+"
)
_MIN_KEY_LENGTH = 40
# The base 64 of a key; what follows ``sha512-`` is a digest.
_KEY = rf"(?<!sha256-)(?<!sha512-)(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{{{_MIN_KEY_LENGTH},}}+={{0,2}}"
# The base 64 of 32 and of 64 bytes without padding: of a public key of Ed25519, and of a secret one.
_KEY_LENGTHS = (43, 86)
_MIXED = r"(?=[^A-Z]*[A-Z])(?=[^a-z]*[a-z])"
# What tells it from the path of a file: no slash in so many characters, with capitals, small letters and digits.
_RANDOM = r"(?=[^/]*[A-Z])(?=[^/]*[a-z])(?=[^/]*[0-9])[^/]{20,}"


def cut(text: str, longest: int = MAX_VALUE_LENGTH) -> str:
    """Shorten ``text`` to ``longest`` characters; its beginning and its end stay."""
    if len(text) <= longest:
        return text
    tail = longest // 4
    return f"{text[: longest - tail - 1]}…{text[-tail:]}"


def clean(message: str) -> str:
    """Return ``message`` without secrets, and with long values shortened.

    Args:
        message: a finished sentence, with values of the user's in it.

    """
    subject, got, rest = _without_secrets_in_message(message).partition(_GOT)
    return cut(
        cut(_with_short_words(subject), _MAX_SUBJECT_LENGTH) + got + _with_short_words(rest), _MAX_MESSAGE_LENGTH
    )


def clean_value(value: str) -> str:
    """Return ``value`` without secrets; it is one value, so that white space in a password does not end it."""
    value = _searchable(value)
    if ":" in value.rpartition("@")[0]:
        value = _without_userinfo(value)
    return _without_secrets(value)


def clean_url(url: str) -> str:
    """Return ``url``, valid or not, without user, password, query and fragment."""
    url = _searchable(url)
    if _pattern(_SCHEME).search(url) or ":" in url[: max(_last_at(url), 0)]:
        url = _without_userinfo(url)
    if cut_off := _pattern(_CUT_PASSWORD).search(url):
        return f"{cut_off[1]}:{_HIDDEN}"
    return _pattern("[?#]").split(url, 1)[0]


def holds_secret(text: str) -> bool:
    """Tell whether ``text`` looks like a URL with a password or key in it, or like a signing key."""
    return clean_value(text) != text


class _Repr(Repr):
    """``repr`` of which each part is bounded, so that a large value takes no longer than a small one."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 30
        self.maxother = self.maxlong = _MAX_REPR_LENGTH

    def repr_str(self, x: str, level: int) -> str:
        return repr(clean_value(x)[: _MAX_TEXT_LENGTH + 1])

    def repr_bytes(self, x: bytes, level: int) -> str:
        return repr(x[: _MAX_TEXT_LENGTH + 1])


def short_repr(value: object) -> str:
    """Return the ``repr`` of ``value`` without secrets, cut at 160 characters for a text, at 60 for another value."""
    try:
        text = _Repr().repr(value)
    except (ValueError, RecursionError):  # for an integer of too many digits, or lists nested too deep
        text = f"a {type(value).__name__} too long to print"
    text = _without_secrets(text)
    longest = _MAX_TEXT_LENGTH if isinstance(value, (str, bytes)) else _MAX_REPR_LENGTH
    return text if len(text) <= longest else text[: longest - 3] + "..."


def join_names(values: Collection[object], placeholder: str = "none") -> str:
    """Return the names that a user can choose from, as a message lists them: the first few and how many more."""
    names: list[str] = []
    for value in itertools.islice(values, _MAX_LISTED):
        names.append(cut(clean_value(str(value)), _MAX_NAME_LENGTH))
        if sum(map(len, names)) > MAX_VALUE_LENGTH:
            break
    more = f" and {len(values) - len(names)} more" if len(values) > len(names) else ""
    return ", ".join(names) + more if names else placeholder


def _searchable(text: str) -> str:
    """Return a prefix of ``text`` that can be searched; what stands before an ``@`` is gone where it is too long."""
    if len(text) <= _MAX_SEARCHED_LENGTH:
        return text
    before, at, after = text.rpartition("@")
    return (f"{_HIDDEN}@{after}" if at and ":" in before else text)[:_MAX_SEARCHED_LENGTH]


def _without_userinfo(value: str) -> str:
    """Return ``value``, a URL or ``USER:PASSWORD@HOST``, without what stands before its last ``@``."""
    place = _last_at(value)
    if place < 0:
        return value
    scheme = _pattern(_SCHEME).search(value, 0, place)
    prefix = scheme[0] if scheme else ""
    if prefix.startswith("file:///") and ":" not in value[len(prefix) : place]:
        return value  # a file of that name; this kind of URL has no user
    if _pattern("[?#]").search(value, scheme.end() if scheme else 0, place):
        # Either the password has a '?', or the query has an '@': nobody can tell which part is secret.
        return f"{prefix}{_HIDDEN}"
    return f"{prefix or _HIDDEN + '@'}{value[place + 1 :]}"


def _last_at(text: str) -> int:
    """Return where the last ``@`` stands that does not begin a digest, as in ``NAME@sha256:…``; -1 for none."""
    found = _pattern(r".*@(?!sha\d+[:-])", re.DOTALL).match(text)
    return found.end() - 1 if found else -1


def _with_short_words(text: str) -> str:
    if len(text) <= MAX_VALUE_LENGTH:
        return text
    return _pattern(rf"\S{{{MAX_VALUE_LENGTH + 1},}}").sub(lambda found: cut(found[0]), text)


def _without_secrets(text: str) -> str:
    text = _searchable(text)
    if "@" in text:
        text = _pattern(_PASSWORD_WITH_SPACES).sub(lambda found: found[1] or f"{_HIDDEN}@", text)
    if "@" in text or _pattern(_SCHEME).search(text):
        text = _pattern(r"\S+").sub(_clean_word, text)
    if "=" in text or ":" in text:
        text = _pattern(_SETTING).sub(rf"\1{_HIDDEN}", text)
    return _pattern(_KEY).sub(_hidden_key, text) if len(text) >= _MIN_KEY_LENGTH else text


def _without_secrets_in_message(message: str) -> str:
    """Return ``message`` without secrets; a subject that is too long to be searched does not hide what follows it."""
    subject, got, rest = message.partition(_GOT)
    if len(subject) <= _MAX_SEARCHED_LENGTH or "@" in rest:
        return _without_secrets(message)
    return _without_secrets(subject) + got + _without_secrets(rest)


def _hidden_key(found: re.Match[str]) -> str:
    """Hide what may be a key, and leave a long path as it is."""
    is_key = _is_whole_key(found) or any(map(_pattern(_RANDOM).match, found[0].split("/")))
    return _HIDDEN if is_key else found[0]


def _is_whole_key(found: re.Match[str]) -> bool:
    """Tell whether a match ends in the base 64 of 32 or 64 bytes, with padding or behind a name and a colon.

    A key may have a slash anywhere, so this asks for no part without one.
    """
    digits, start, end = found[0].rstrip("="), found.start(), found.end()
    if len(digits) < min(_KEY_LENGTHS) or not _pattern(_MIXED).match(digits[-min(_KEY_LENGTHS) :]):
        return False
    if len(found[0]) > len(digits):
        return not found.string[end : end + 1].isalnum()  # else it is a path before an equals sign and a value
    return len(digits) in _KEY_LENGTHS and found.string[max(start - 1, 0) : start] == ":"


def _clean_word(found: re.Match[str]) -> str:
    """Clean what stands between white space if it is a URL, or a text such as ``USER:PASSWORD@HOST``."""
    word = found[0]
    if not _pattern(_SCHEME).search(word) and ":" not in word[: max(_last_at(word), 0)]:
        return word
    opened = word.lstrip("'\"([{")
    value = opened.rstrip(":;,.)]}'\"")
    return word[: len(word) - len(opened)] + clean_url(value) + opened[len(value) :]


@cache
def _pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    """Compile when the first message is made: most runs make none."""
    return re.compile(text, flags)
