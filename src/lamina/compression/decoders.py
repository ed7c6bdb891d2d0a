"""Decoders of NARs, image files and layers: compressed pieces in, decompressed pieces out.

Invariant: no piece that comes out is larger than `MAX_PIECE`, whatever comes in. Input that is cut short, or goes on
with anything but another stream or padding, raises `FormatError`.

A compressed file is any number of streams in a row: members of gzip (RFC 1952, 2.2), frames of zstd (RFC 8878, 3.1;
Nix 2.35 cuts them at 16 MiB) and of lz4, streams of xz with padding between them (.xz file format, 2) and of bzip2.
Brotli's (RFC 7932) is one. Zeros behind a stream are padding in every format but Brotli's: tapes and tools that write
whole blocks leave them there.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from lamina.compression import libraries
from lamina.errors import FormatError
from lamina.messages.redaction import short_repr

MAX_PIECE = 1 << 18
# What a stream is given first. A library copies what it was given behind the end of a stream, so that a piece with
# thousands of tiny ones would be copied as often; doubling it keeps all copies within twice the input.
_FIRST_PORTION = 1 << 9
_MAGIC = {
    "xz": re.compile(rb"\xfd7zXZ\0"),
    "zstd": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
    "gzip": re.compile(rb"\x1f\x8b"),
    "bzip2": re.compile(rb"BZh[1-9][1\x17]"),
    "lz4": re.compile(rb"\x04\x22\x4d\x18"),
}
# Starting a decoder costs microseconds, so millions of tiny streams would cost more than their bytes. No tool writes so
# many: bgzip's are up to 64 KiB long, those of parallel compressors longer.
_SHORT_STREAM = 1 << 9
_MAX_SHORT_STREAMS = 1 << 17
# Streams that hold nothing, such as zstd's skippable frames: pzstd writes one for each of its frames.
_MAX_EMPTY_STREAMS = 1 << 15
# 8 MiB is what the format asks every decoder to take, 128 MiB what the zstd program and Nix take without being told
# otherwise, and what its level 22 makes; a frame may ask for 2 GiB.
_ZSTD_WINDOW_LOG = 27
# Level 9 needs 65 MiB; a stream may ask for 4 GiB.
_XZ_MEMORY = 256 << 20
_GZIP_ONLY = 31


def decode_pieces(pieces: Iterable[bytes], compression: str) -> Iterator[bytes]:
    """What ``pieces`` are without their ``compression``, one of Nix's words: none, xz, bzip2, gzip, zstd, br or lz4.

    Pieces come as soon as they are known and hold at most `MAX_PIECE` bytes; how many come is for the caller to bound,
    and so is how much goes in, for a stream may be long and hold nothing. Raises `FormatError`: at once for other words
    and where there is no library, later where ``pieces`` are no such stream, end within one or go on behind it; its
    place is where the broken stream begins. No bytes at all are a stream only of none. What ``pieces`` raise goes
    through.
    """
    if compression == "none":
        return _split(pieces)
    if compression not in _FORMATS:
        known = ", ".join(("none", *_FORMATS))
        raise FormatError(f"compression: got {short_repr(compression)}, expected one of {known}")
    return _decode_all(pieces, _Streams(compression, _FORMATS[compression]()))


def detect_compression(start: bytes) -> str:
    """The word for how a file that begins with ``start`` is compressed, none where that is told by nothing in it.

    Six bytes are enough. Brotli's streams begin with anything.
    """
    return next((word for word, mark in _MAGIC.items() if mark.match(start)), "none")


def _decode_all(pieces: Iterable[bytes], streams: _Streams) -> Iterator[bytes]:
    for piece in pieces:
        yield from streams.feed(piece)
    streams.finish()


def _split(pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        if 0 < len(piece) <= MAX_PIECE:
            yield piece
            continue
        with memoryview(piece) as whole:
            for start in range(0, len(whole), MAX_PIECE):
                yield bytes(whole[start : start + MAX_PIECE])


class _Decoder(Protocol):
    """One stream; the libraries' classes are such by themselves, or nearly."""

    def decompress(self, data: bytes | memoryview, max_length: int) -> bytes: ...

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class _Format:
    decoder: Callable[[], _Decoder]
    errors: tuple[type[Exception], ...]
    padding: int = 1
    """Zeros behind a stream are padding if there are as many as a multiple of this."""
    is_single: bool = False
    """The format has one stream per file, and no padding."""


class _Streams:
    """All streams of one input, one after the other."""

    def __init__(self, name: str, form: _Format) -> None:
        self._name = name
        self._format = form
        self._decoder: _Decoder | None = None
        self._portion = _FIRST_PORTION
        self._count = 0
        self._short = 0
        self._empty = 0
        self._is_empty = True
        self._offset = 0
        self._start = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """What is known once ``piece`` has come."""
        rest = memoryview(piece)
        while rest:
            if self._decoder is None:
                rest = self._skip_padding(rest)
                if not rest:
                    return
            decoder = self._decoder or self._start_stream()
            portion, rest = rest[: self._portion], rest[self._portion :]
            yield from self._output(decoder, portion)
            self._offset += len(portion)
            self._portion = min(2 * self._portion, MAX_PIECE)
            if decoder.eof:
                unused = len(decoder.unused_data or b"")
                self._offset -= unused
                rest = memoryview(piece)[len(piece) - len(rest) - unused :]
                self._finish_stream()

    def finish(self) -> None:
        """Raise `FormatError` if more should have come, or if there are too few zeros at the end."""
        if self._decoder is not None or not self._count:
            raise FormatError(f"{self._name} at byte {self._start}: got the end at byte {self._offset}, expected more")
        self._check_padding()

    def _finish_stream(self) -> None:
        self._decoder = None
        self._empty += self._is_empty
        self._short += self._offset - self._start < _SHORT_STREAM
        if self._empty > _MAX_EMPTY_STREAMS:
            raise FormatError(
                f"{self._name} to byte {self._offset}: got more than {_MAX_EMPTY_STREAMS} streams that hold nothing, "
                "expected fewer"
            )
        if self._short > _MAX_SHORT_STREAMS:
            raise FormatError(
                f"{self._name} to byte {self._offset}: got more than {_MAX_SHORT_STREAMS} streams shorter than "
                f"{_SHORT_STREAM} bytes, expected fewer and longer ones"
            )

    def _skip_padding(self, data: memoryview) -> memoryview:
        if self._format.is_single or not self._count or data[0]:
            return data
        zeros = len(data) - len(bytes(data).lstrip(b"\0"))
        self._offset += zeros
        return data[zeros:]

    def _check_padding(self) -> None:
        # A stream is as long as a multiple of this, so the padding is if the place is (.xz file format, 2.2).
        if self._offset % self._format.padding:
            raise self._error(f"padding to byte {self._offset}", f"a multiple of {self._format.padding} zeros")

    def _start_stream(self) -> _Decoder:
        self._check_padding()
        self._start = self._offset
        if self._count and self._format.is_single:
            raise self._error("more bytes", "the end")
        self._decoder = self._format.decoder()
        self._portion = _FIRST_PORTION
        self._is_empty = True
        self._count += 1
        return self._decoder

    def _output(self, decoder: _Decoder, data: memoryview | bytes) -> Iterator[bytes]:
        while True:
            try:
                out = decoder.decompress(data, MAX_PIECE)
            except self._format.errors as error:
                raise self._error(str(error) or type(error).__name__, "a whole stream") from error
            self._is_empty = self._is_empty and not out
            yield from _split((out,))
            # Nothing for nothing: whatever it says, it needs input.
            if decoder.eof or decoder.needs_input or not (data or out):
                return
            data = b""

    def _error(self, got: str, expected: str) -> FormatError:
        return FormatError(f"{self._name} at byte {self._start}: got {got}, expected {expected}")


def _xz() -> _Format:
    lzma = libraries.xz()

    def decoder() -> _Decoder:
        found: _Decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
        return found

    return _Format(decoder, (lzma.LZMAError, EOFError), padding=4)


def _bzip2() -> _Format:
    return _Format(_library("bz2").BZ2Decompressor, (OSError, ValueError, EOFError))


def _gzip() -> _Format:
    return _Format(_GzipDecoder, (zlib.error,))


def _zstd() -> _Format:
    zstd = libraries.zstd()
    options = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}

    def decoder() -> _Decoder:
        found: _Decoder = zstd.ZstdDecompressor(options=options)
        return found

    return _Format(decoder, (zstd.ZstdError, EOFError))


def _brotli() -> _Format:
    brotli = _library("brotli")
    return _Format(lambda: _BrotliDecoder(brotli.Decompressor()), (brotli.error,), is_single=True)


def _lz4() -> _Format:
    return _Format(_library("lz4.frame").LZ4FrameDecompressor, (RuntimeError, EOFError))


_FORMATS: dict[str, Callable[[], _Format]] = {
    "xz": _xz,
    "bzip2": _bzip2,
    "gzip": _gzip,
    "zstd": _zstd,
    "br": _brotli,
    "lz4": _lz4,
}


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise FormatError(
            f"{name}: got {error}, expected a Python that has it", hint=f"install {name.partition('.')[0]}"
        ) from error


class _GzipDecoder:
    """zlib's decompressor as the others are."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(_GZIP_ONLY)
        self._is_full = False

    def decompress(self, data: bytes | memoryview, max_length: int) -> bytes:
        tail = self._inner.unconsumed_tail
        out = self._inner.decompress(tail + data if tail else data, max_length)
        self._is_full = len(out) == max_length
        return out

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._is_full and not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data


class _BrotliDecoder:
    """Brotli's decompressor as the others are. It may give more than it was asked for."""

    unused_data = b""  # it raises an error of its own

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._is_drained = False

    def decompress(self, data: bytes | memoryview, max_length: int) -> bytes:
        out: bytes = self._inner.process(data, output_buffer_limit=max_length)
        self._is_drained = not out
        return out

    @property
    def eof(self) -> bool:
        return bool(self._inner.is_finished())

    @property
    def needs_input(self) -> bool:
        # It also accepts more while it has output left, and never says so.
        return self._is_drained and bool(self._inner.can_accept_more_data())
