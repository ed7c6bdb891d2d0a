"""Check and open what an image is written to."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from lamina.compression.compressors import choose_compressor, find_compressor
from lamina.errors import InvalidArgument
from lamina.images.writers.archives import LAYOUT_FORMAT
from lamina.inputs.arguments import StrPath
from lamina.messages.redaction import short_repr
from lamina.system.cpus import cpu_count
from lamina.system.fd_writer import Output
from lamina.system.output import CountingOutput, Writable, atomic_write, is_layout, make_writer, parse_output_file


@contextlib.contextmanager
def open_output(
    output: StrPath | Writable, *, compressor: str | None = None, jobs: int | None = None
) -> Iterator[Output]:
    """Open ``output`` for the block, as something that `DockerArchive` writes to.

    A file appears when the block ends without an error, whole or not at all.

    Args:
        output: a file, or anything with a binary ``write``.
        compressor: ``none``, ``gz`` or ``zstd``. By default the one that fits a file's extension.
        jobs: the number of processors to compress with. By default all that this process may use.

    Yields:
        The output, which takes uncompressed bytes.

    Raises:
        InvalidArgument: the compressor is unknown, or ``output`` is a folder or a terminal.
        OutputError: ``output`` could not be written.

    """
    with open_counted_output(output, compressor=compressor, jobs=jobs) as (out, _):
        yield out


@contextlib.contextmanager
def open_counted_output(
    output: StrPath | Writable, *, compressor: str | None = None, jobs: int | None = None
) -> Iterator[tuple[Output, CountingOutput]]:
    """Open ``output`` as `open_output` does; the second value counts the bytes that reach it, compressed."""
    with contextlib.ExitStack() as stack:
        if isinstance(output, (str, os.PathLike)):
            path = parse_output_file(output)
            make = find_compressor(compressor or choose_compressor(path.name))
            out = stack.enter_context(atomic_write(path))
        else:
            name = getattr(output, "name", None)
            make = find_compressor(compressor or "none")
            out = make_writer(output, name if isinstance(name, str) else "output")
        counter = CountingOutput(out)
        with make(counter, jobs or cpu_count()) as compressed:
            yield compressed, counter


def check_extension(output: object, compressor: str | None) -> None:
    """Raise `InvalidArgument` for a file whose extension names an unknown compression.

    Callers check this first, before a script runs or an image is read.
    """
    if compressor is None and isinstance(output, (str, os.PathLike)) and not is_layout(output):
        choose_compressor(os.path.basename(os.fspath(output)))


def check_format(output: StrPath, format_name: str | None) -> None:
    """Raise `InvalidArgument` if the output is a folder and the format that of a file only.

    Callers check this first, before a script runs or an image is read.
    """
    if format_name not in (None, LAYOUT_FORMAT) and is_layout(output):
        raise InvalidArgument(
            "format",
            short_repr(format_name),
            f"{LAYOUT_FORMAT} for an OCI layout, a folder",
            hint=f"name a file for another format, such as {os.path.join(os.fspath(output), 'NAME.tar')}",
        )
