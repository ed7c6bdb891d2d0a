"""The narinfo: what a binary cache says of one store path.

Invariant: ``parse(found.dump()) == found``; what `parse` gives names one store path, a NAR hash and size, a URL without
``..``, and signatures that can be checked against `NarInfo.fingerprint`; anything else raised `FormatError`.

The fields in the fingerprint are signed. All others are not, so anyone between the signer and here can change them: an
invalid value of one is left out and never refuses a path, and of several values the last counts, as in Nix. Only a
``URL`` is needed to fetch the NAR, so one that leads out of the cache is refused.

One ``Key: value`` a line, and every line ends in LF, the last one too: without it Nix calls the file corrupt, and a
CR it takes for a part of the value (Nix source, libstore, nar-info). Keys unknown here are kept as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lamina.core.names import Digest, StorePath
from lamina.core.pathinfo import PathInfo
from lamina.errors import FormatError, InvalidArgument
from lamina.messages.redaction import short_repr

# More than any narinfo that is one has: a thousand references take 60 KB.
MAX_SIZE = 1 << 22
_REQUIRED = ("StorePath", "URL", "NarHash", "NarSize")
_SIGNED = frozenset(("StorePath", "NarHash", "NarSize", "References"))
# Signed or not, an invalid value of these refuses the path: without them the NAR cannot be fetched and unpacked.
_NEEDED = _SIGNED | {"URL", "Compression"}
_KNOWN = frozenset((*_REQUIRED, "Compression", "FileHash", "FileSize", "References", "Deriver", "Sig", "CA"))
# What has no place in a line of text; surrogates stand for bytes that are not UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.\-]*:")
_WEB = re.compile("https?://[^/]", re.IGNORECASE)
_TOO_LARGE = 1 << 63


@dataclass(frozen=True, slots=True)
class NarInfo:
    """One narinfo.

    ``url`` is relative to the cache, with or without a slash in front, or an absolute one of http or https;
    ``compression`` is Nix's word for it; ``deriver`` is a base name, and empty where
    there is none; ``address`` is the CA field as it stands; ``extra_fields`` are the fields unknown here, in order.
    """

    info: PathInfo
    url: str
    compression: str
    signatures: tuple[str, ...]
    file_hash: Digest | None = None
    file_size: int | None = None
    deriver: str = ""
    address: str = ""
    extra_fields: tuple[tuple[str, str], ...] = ()

    @property
    def file_name(self) -> str:
        """Return the URL as the name of a file in a cache that is a folder or a bucket.

        Empty parts and ``.`` in front of the file's own name mean nothing, as on the web (RFC 3986, 5.2.4). A URL of
        another server stays as it is, and is no name of a file.
        """
        if _WEB.match(self.url):
            return self.url
        *folders, file = self.url.split("/")
        return "/".join((*(folder for folder in folders if folder not in ("", ".")), file))

    @property
    def fingerprint(self) -> str:
        """What is signed: path, NAR hash and size, and references (Nix source, ValidPathInfo::fingerprint)."""
        info = self.info
        references = ",".join(map(str, sorted(info.references)))
        return f"1;{info.path};{info.nar_hash.nix32};{info.nar_size};{references}"

    def dump(self) -> str:
        """The text of it, fields in Nix's order, those unknown here before the signatures."""
        return "".join(f"{key}: {value}\n" for key, value in self._fields())

    def _fields(self) -> list[tuple[str, str]]:
        info = self.info
        fields = [("StorePath", str(info.path)), ("URL", self.url), ("Compression", self.compression)]
        if self.file_hash is not None:
            fields.append(("FileHash", self.file_hash.nix32))
        if self.file_size is not None:
            fields.append(("FileSize", str(self.file_size)))
        fields += [("NarHash", info.nar_hash.nix32), ("NarSize", str(info.nar_size))]
        fields.append(("References", " ".join(path.base for path in sorted(info.references))))
        if self.deriver:
            fields.append(("Deriver", self.deriver))
        fields += self.extra_fields
        fields += [("Sig", signature) for signature in self.signatures]
        if self.address:
            fields.append(("CA", self.address))
        return fields


def parse_bytes(data: bytes) -> NarInfo:
    """The narinfo that ``data`` is; raises `FormatError`, also for more than `MAX_SIZE` bytes."""
    if len(data) > MAX_SIZE:
        raise FormatError(f"narinfo: got more than {MAX_SIZE} bytes, expected at most as many")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        try:  # Other bytes in a field that is not signed are left out with it.
            return parse(data.decode("utf-8", "surrogateescape"))
        except FormatError:
            raise FormatError(f"narinfo: got {short_repr(data[error.start : error.end])}, expected UTF-8") from error
    return parse(text)


def parse(text: str) -> NarInfo:
    """The narinfo that ``text`` is; raises `FormatError` with the line."""
    fields, signatures = _split(text)
    for key in _REQUIRED:
        if not fields.get(key):
            raise FormatError(f"narinfo: got no {key}, expected one")
    try:
        return NarInfo(
            _info(fields),
            _url(fields["URL"]),
            fields.get("Compression") or "bzip2",
            tuple(signatures),
            *_file(fields.get("FileHash", ""), fields.get("FileSize", "")),
            _deriver(fields.get("Deriver", "")),
            fields.get("CA", ""),
            tuple((key, value) for key, value in fields.items() if key not in _KNOWN),
        )
    except InvalidArgument as error:
        raise FormatError(f"narinfo: {error}") from error


def _split(text: str) -> tuple[dict[str, str], list[str]]:
    """The fields in order, and the signatures."""
    fields: dict[str, str] = {}
    signatures: list[str] = []
    *lines, rest = text.split("\n")
    for number, line in enumerate(lines, 1):
        key, colon, value = line.partition(":")
        if not key or not colon or value[:1] not in ("", " "):
            raise FormatError(f"narinfo line {number}: got {short_repr(line)}, expected KEY: VALUE")
        if _UNPRINTABLE.search(line):
            if key not in _NEEDED:
                continue
            raise FormatError(
                f"narinfo line {number}: got {short_repr(line)}, expected no control characters, and LF ends"
            )
        value = value[1:]
        if key == "Sig":
            signatures.append(value)
        elif key in fields and key in _SIGNED:
            raise FormatError(f"narinfo line {number}: got a second {key[:40]}, expected one")
        else:
            fields[key] = value
    if rest:
        raise FormatError(
            f"narinfo line {len(lines) + 1}: got {short_repr(rest)} and the end, expected a line end first"
        )
    return fields, signatures


def _info(fields: dict[str, str]) -> PathInfo:
    size = _size("NarSize", fields["NarSize"])
    if size == 0:
        raise FormatError("narinfo: got NarSize 0, expected a positive number")
    references = frozenset(StorePath.parse_base(base) for base in fields.get("References", "").split(" ") if base)
    return PathInfo(StorePath.parse(fields["StorePath"]), Digest.parse(fields["NarHash"]), size, references)


def _file(file_hash: str, file_size: str) -> tuple[Digest | None, int | None]:
    """What is said of the compressed file. Nobody signs it, so what cannot be read is left out; so is Nix's size 0."""
    try:
        digest = Digest.parse(file_hash)
    except InvalidArgument:
        digest = None
    try:
        size = _size("FileSize", file_size)
    except FormatError:
        size = 0
    return digest, size or None


def _size(key: str, text: str) -> int:
    if not re.fullmatch("[0-9]{1,19}", text) or int(text) >= _TOO_LARGE:
        raise FormatError(f"narinfo: got {key} {short_repr(text)}, expected a number of bytes")
    return int(text)


def _url(text: str) -> str:
    """A path in the cache, perhaps with a query, or a whole URL of http or https; never one of a file.

    Whether an absolute URL has the scheme of its cache is for whoever knows the cache to check.
    """
    is_other = (_SCHEME.match(text) and not _WEB.match(text)) or text.startswith("//")
    if is_other or "\\" in text or "\t" in text or ".." in text.split("/") or text == "/":
        raise FormatError(f"narinfo: got URL {short_repr(text)}, expected a path without '..', http:// or https://")
    return text


def _deriver(base: str) -> str:
    """Return the base name of the derivation, or an empty text if there is none or it is invalid."""
    try:
        return StorePath.parse_base(base).base
    except InvalidArgument:
        return ""
