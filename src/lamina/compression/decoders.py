"""Decompress NARs, image files and layers: compressed pieces in, decompressed pieces out.

A compressed file consists of any number of streams in a row: members of gzip (RFC 1952, 2.2), frames of zstd (RFC 8878,
3.1; Nix 2.35 cuts them at 16 MiB) and of lz4, streams of xz with padding between them (.xz file format, 2) and of
bzip2. A Brotli file (RFC 7932) is a single stream. Zeros after a stream are padding in every format but Brotli's,
because tapes, and tools that write whole blocks, leave them there. Any other bytes after a stream are an error.

Invariant: no output piece is larger than `MAX_PIECE`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from lamina.compression import libraries
from lamina.errors import FormatError
from lamina.messages.redaction import short_repr

MAX_PIECE = 1 << 18
# The size of the first portion that is passed to a stream's decoder. A library copies all bytes that follow the end of
# a stream, so a piece with thousands of tiny streams would be copied thousands of times. Portions that start small and
# double limit all copies together to twice the input.
_FIRST_PORTION = 1 << 9
# Starting a decoder takes microseconds, so millions of tiny streams would take longer to start than to decode. No tool
# writes that many: streams of bgzip are up to 64 KiB long, and those of parallel compressors are longer.
_SHORT_STREAM = 1 << 9
_MAX_SHORT_STREAMS = 1 << 17
# The limit for empty streams, such as the skippable frames of zstd: pzstd writes one for each of its frames.
_MAX_EMPTY_STREAMS = 1 << 15
# A window of 128 MiB: the default limit of the zstd program and of Nix, and the window of zstd's level 22. The format
# requires a decoder to support only 8 MiB, and a frame may ask for 2 GiB.
_ZSTD_WINDOW_LOG = 27
# The memory limit of xz in bytes. Level 9 needs 65 MiB; a stream may ask for 4 GiB.
_XZ_MEMORY = 256 << 20
# zlib's wbits for gzip members only (zlib manual, inflateInit2).
_GZIP_ONLY = 31


def decode_pieces(pieces: Iterable[bytes], compression: str) -> Iterator[bytes]:
    """Decompress ``pieces`` into pieces of at most `MAX_PIECE` bytes, and yield each as soon as it is complete.

    The caller must limit the size of both input and output, because a long input may decompress to nothing. Empty input
    is valid only for ``none``. Errors that ``pieces`` raises are passed on.

    Args:
        pieces: The compressed bytes.
        compression: One of Nix's names: none, xz, bzip2, gzip, zstd, br or lz4.

    Raises:
        FormatError: immediately for other names and for a missing library; during iteration if the input is not such a
            stream, is truncated, or has other bytes after it. The message has the offset of the broken stream.
    """
    if compression == "none":
        return _split(pieces)
    if compression not in _FORMATS:
        known = ", ".join(("none", *_FORMATS))
        raise FormatError("compression", short_repr(compression), f"one of {known}")
    return _decode_all(pieces, _Streams(compression, _FORMATS[compression](libraries.load(compression))))


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
    """A decoder of one stream. bz2, lzma, lz4 and zstd have this interface; gzip and Brotli need adapters."""

    def decompress(self, data: bytes | memoryview, max_length: int) -> bytes: ...

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class _Format:
    create_decoder: Callable[[], _Decoder]
    errors: tuple[type[Exception], ...]
    padding: int = 1
    """Zeros after a stream are padding if their number is a multiple of this."""
    is_single: bool = False
    """The format has one stream per file, and no padding."""


class _Streams:
    """The state of decoding all streams of one input, one after the other."""

    def __init__(self, name: str, stream_format: _Format) -> None:
        self._name = name
        self._format = stream_format
        self._decoder: _Decoder | None = None
        self._portion = _FIRST_PORTION
        self._count = 0
        self._short_count = 0
        self._empty_count = 0
        self._is_empty = True
        self._offset = 0
        self._start = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Decode the next input piece and yield the output."""
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
        """Raise `FormatError` if the input is truncated, or if the padding at its end has a wrong length."""
        if self._decoder is not None or not self._count:
            raise FormatError(f"{self._name} at byte {self._start}", f"the end at byte {self._offset}", "more")
        self._check_padding()

    def _finish_stream(self) -> None:
        self._decoder = None
        self._empty_count += self._is_empty
        self._short_count += self._offset - self._start < _SHORT_STREAM
        got = ""
        if self._empty_count > _MAX_EMPTY_STREAMS:
            got = f"more than {_MAX_EMPTY_STREAMS} empty streams"
        elif self._short_count > _MAX_SHORT_STREAMS:
            got = f"more than {_MAX_SHORT_STREAMS} streams shorter than {_SHORT_STREAM} bytes"
        if got:
            raise FormatError(f"{self._name} to byte {self._offset}", got, "fewer and longer streams")

    def _skip_padding(self, data: memoryview) -> memoryview:
        if self._format.is_single or not self._count or data[0]:
            return data
        zeros = len(data) - len(bytes(data).lstrip(b"\0"))
        self._offset += zeros
        return data[zeros:]

    def _check_padding(self) -> None:
        # A stream's length is also a multiple of this, so checking the offset is enough (.xz file format, 2.2).
        if self._offset % self._format.padding:
            raise self._error(f"padding to byte {self._offset}", f"a multiple of {self._format.padding} zeros")

    def _start_stream(self) -> _Decoder:
        self._check_padding()
        self._start = self._offset
        if self._count and self._format.is_single:
            raise self._error("more bytes", "the end")
        self._decoder = self._format.create_decoder()
        self._portion = _FIRST_PORTION
        self._is_empty = True
        self._count += 1
        return self._decoder

    def _output(self, decoder: _Decoder, data: memoryview | bytes) -> Iterator[bytes]:
        while True:
            try:
                out = decoder.decompress(data, MAX_PIECE)
            except self._format.errors as error:
                raise self._error(error, "a whole stream") from error
            self._is_empty = self._is_empty and not out
            yield from _split((out,))
            # A decoder that has no input left and gave no output needs input, even if ``needs_input`` is false.
            if decoder.eof or decoder.needs_input or not (data or out):
                return
            data = b""

    def _error(self, got: object, expected: str) -> FormatError:
        return FormatError(f"{self._name} at byte {self._start}", got, expected)


def _xz(lzma: Any) -> _Format:
    create = partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
    return _Format(create, (lzma.LZMAError, EOFError), padding=4)


def _zstd(zstd: Any) -> _Format:
    options = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
    return _Format(partial(zstd.ZstdDecompressor, options=options), (zstd.ZstdError, EOFError))


def _brotli(brotli: Any) -> _Format:
    return _Format(lambda: _BrotliDecoder(brotli.Decompressor()), (brotli.error,), is_single=True)


_FORMATS: Mapping[str, Callable[[Any], _Format]] = {
    "xz": _xz,
    "bzip2": lambda bz2: _Format(bz2.BZ2Decompressor, (OSError, ValueError, EOFError)),
    "gzip": lambda _: _Format(_GzipDecoder, (zlib.error,)),
    "zstd": _zstd,
    "br": _brotli,
    "lz4": lambda lz4: _Format(lz4.LZ4FrameDecompressor, (RuntimeError, EOFError)),
}
"""Functions that make the format of each compression from its library."""


class _GzipDecoder:
    """An adapter of zlib's decompressor to `_Decoder`."""

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
    """An adapter of Brotli's decompressor to `_Decoder`. It may return more than ``max_length`` bytes."""

    unused_data = b""  # Brotli raises an error for data after the end

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
        # Brotli accepts more input while it still has output, so ask only once the output is drained.
        return self._is_drained and bool(self._inner.can_accept_more_data())
