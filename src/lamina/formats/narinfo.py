"""The narinfo: the description of one store path in a binary cache.

A narinfo has one ``Key: value`` per line. Every line ends in LF, including the last one: without it Nix considers the
file corrupt, and it treats a CR as part of the value (Nix source, libstore, nar-info). Unknown keys are preserved.

Only the fields in the fingerprint are signed. Anyone between the signer and the reader can change the other fields. An
invalid value in one of those is therefore ignored instead of refusing the path, and if a field occurs several times,
the last value counts, as in Nix. The exceptions are ``URL`` and ``Compression``, which are needed to fetch and unpack
the NAR. A URL that leads out of the cache is refused.

Invariant: ``parse(found.dump()) == found``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lamina.core.names import Digest, StorePath
from lamina.core.pathinfo import PathInfo
from lamina.errors import FormatError, InvalidArgument
from lamina.messages.redaction import short_repr
from lamina.messages.sizes import format_size

# The largest narinfo in bytes. Real ones are far smaller: a thousand references take 60 KB.
MAX_SIZE = 1 << 22
_REQUIRED = ("StorePath", "URL", "NarHash", "NarSize")
_SIGNED = frozenset(("StorePath", "NarHash", "NarSize", "References"))
# The path is refused if one of these is invalid, signed or not: they are needed to fetch and unpack the NAR.
_NEEDED = _SIGNED | {"URL", "Compression"}
_KNOWN = frozenset((*_REQUIRED, "Compression", "FileHash", "FileSize", "References", "Deriver", "Sig", "CA"))
# Characters that are not allowed in a line. Surrogates stand for bytes that are not UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.\-]*:")
_HTTP_URL = re.compile("https?://[^/]", re.IGNORECASE)
_SIZE_LIMIT = 1 << 63


@dataclass(frozen=True, slots=True)
class NarInfo:
    """The information of a binary cache about a store path.

    Attributes:
        info: the path info.
        url: where the NAR is: relative to the cache, with or without a leading slash, or an absolute http or https URL.
        compression: Nix's name for the compression of the NAR.
        signatures: the signatures, ``NAME:BASE64``.
        file_hash: the digest of the compressed file.
        file_size: the size of the compressed file in bytes.
        deriver: the base name of the derivation, or empty.
        address: the content address as it is written in the field ``CA``, or empty.
        extra_fields: the unknown fields, in their order.
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

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.info.path.name}: {format_size(self.info.nar_size)}>"

    @property
    def file_name(self) -> str:
        """The URL as the name of a file in a cache that is a folder or a bucket.

        Empty folder names and ``.`` are removed, as web servers do (RFC 3986, 5.2.4). An absolute URL is unchanged; it
        is not the name of a file.
        """
        if _HTTP_URL.match(self.url):
            return self.url
        *folders, file = self.url.split("/")
        return "/".join((*(folder for folder in folders if folder not in ("", ".")), file))

    @property
    def fingerprint(self) -> str:
        """The text that is signed: path, NAR hash and size, and references (Nix source, ValidPathInfo::fingerprint)."""
        info = self.info
        references = ",".join(map(str, sorted(info.references)))
        return f"1;{info.path};{info.nar_hash.nix32};{info.nar_size};{references}"

    def dump(self) -> str:
        """Return the text of the narinfo, with fields in Nix's order and unknown ones before the signatures."""
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
    """Parse a narinfo from bytes. Raises `FormatError`, also for more than `MAX_SIZE` bytes."""
    if len(data) > MAX_SIZE:
        raise FormatError("narinfo", f"more than {format_size(MAX_SIZE)}", "a smaller file")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        try:  # An unsigned field with bytes that are not UTF-8 is ignored.
            return parse(data.decode("utf-8", "surrogateescape"))
        except FormatError:
            raise FormatError("narinfo", short_repr(data[error.start : error.end]), "UTF-8") from error
    return parse(text)


def parse(text: str) -> NarInfo:
    """Parse a narinfo. Raises `FormatError` with the number of the line."""
    fields, signatures = _split_fields(text)
    for key in _REQUIRED:
        if not fields.get(key):
            raise FormatError("narinfo", f"no {key}", "one")
    try:
        return NarInfo(
            _parse_path_info(fields),
            _check_url(fields["URL"]),
            fields.get("Compression") or "bzip2",
            tuple(signatures),
            *_parse_file(fields.get("FileHash", ""), fields.get("FileSize", "")),
            _parse_deriver(fields.get("Deriver", "")),
            fields.get("CA", ""),
            tuple((key, value) for key, value in fields.items() if key not in _KNOWN),
        )
    except InvalidArgument as error:
        raise error.convert(FormatError).add_context("narinfo") from error


def _split_fields(text: str) -> tuple[dict[str, str], list[str]]:
    """Split a narinfo into its fields, in order, and its signatures."""
    fields: dict[str, str] = {}
    signatures: list[str] = []
    *lines, rest = text.split("\n")
    for number, line in enumerate(lines, 1):
        key, colon, value = line.partition(":")
        if not key or not colon or value[:1] not in ("", " "):
            raise FormatError(f"narinfo line {number}", short_repr(line), "KEY: VALUE")
        if _UNPRINTABLE.search(line):
            if key not in _NEEDED:
                continue
            raise FormatError(f"narinfo line {number}", short_repr(line), "printable characters, and LF as line end")
        value = value[1:]
        if key == "Sig":
            signatures.append(value)
        elif key in fields and key in _SIGNED:
            raise FormatError(f"narinfo line {number}", f"a second {key[:40]}", "one")
        else:
            fields[key] = value
    if rest:
        raise FormatError(f"narinfo line {len(lines) + 1}", f"{short_repr(rest)} without a line end", "LF at the end")
    return fields, signatures


def _parse_path_info(fields: dict[str, str]) -> PathInfo:
    size = _parse_size("NarSize", fields["NarSize"])
    if size == 0:
        raise FormatError("narinfo", "NarSize 0", "a positive number")
    references = frozenset(StorePath.parse_base(base) for base in fields.get("References", "").split(" ") if base)
    return PathInfo(StorePath.parse(fields["StorePath"]), Digest.parse(fields["NarHash"]), size, references)


def _parse_file(file_hash: str, file_size: str) -> tuple[Digest | None, int | None]:
    """Parse the unsigned hash and size of the compressed file. Ignore invalid values, and size 0, which Nix writes."""
    try:
        digest = Digest.parse(file_hash)
    except InvalidArgument:
        digest = None
    try:
        size = _parse_size("FileSize", file_size)
    except FormatError:
        size = 0
    return digest, size or None


def _parse_size(key: str, text: str) -> int:
    if not re.fullmatch("[0-9]{1,19}", text) or int(text) >= _SIZE_LIMIT:
        raise FormatError("narinfo", f"{key} {short_repr(text)}", "a number of bytes")
    return int(text)


def _check_url(text: str) -> str:
    """Check a URL: a path in the cache, optionally with a query, or an absolute http or https URL.

    The caller must check that an absolute URL has the scheme of the cache.
    """
    is_other = (_SCHEME.match(text) and not _HTTP_URL.match(text)) or text.startswith("//")
    if is_other or "\\" in text or "\t" in text or ".." in text.split("/") or text == "/":
        raise FormatError("narinfo", f"URL {short_repr(text)}", "a path without '..', http:// or https://")
    return text


def _parse_deriver(base: str) -> str:
    """Return the base name of the derivation, or an empty text if there is none or it is invalid."""
    try:
        return StorePath.parse_base(base).base
    except InvalidArgument:
        return ""
