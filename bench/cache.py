"""A closure straight from a binary cache, beside what decompressing its NARs takes.

Invariant: the cache is served over HTTP on loopback by another process, and what was fetched in a run before is gone.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.measuring import ENVIRONMENT, BenchError, Command, Side
from bench.workloads import LAMINA, PlannedWork

_NAME = "bench-1"
# "two at a time", each a program that ends in /dev/null.
_DECOMPRESS = 'find "$0" -name "*.zst" -print0 | xargs -0 -P 2 -n 1 sh -c \'exec zstd -dcq "$0" >/dev/null\''


@dataclass(frozen=True, slots=True)
class Cache:
    """A signed cache of zstd, served at ``url``."""

    folder: Path
    url: str
    key: str

    def store(self) -> tuple[str, ...]:
        """The options that have a verb ask it and nobody else."""
        return ("--store", self.url, "--trusted-key", self.key)

    def decompress(self) -> Command:
        """The command that decompresses every NAR, two at a time."""
        return ("sh", "-c", _DECOMPRESS, str(self.folder / "nar"))


@dataclass(frozen=True, slots=True)
class FilledStore:
    """An embedded store below ``folder``, which a run fills."""

    folder: Path

    def side(self, command: Command) -> Side:
        """``command`` with nothing fetched before."""
        return Side((command,), prepare=self.clear, variables=self.variables)

    def filled(self, command: Command) -> Side:
        """``command`` with all there that the run before has fetched."""
        return Side((command,), variables=self.variables)

    @property
    def variables(self) -> tuple[tuple[str, str], ...]:
        """The environment in which it is the user's."""
        return (("XDG_DATA_HOME", str(self.folder)),)

    def clear(self) -> None:
        """Leaves nothing of it."""
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def serve_cache(planned: PlannedWork, folder: Path) -> Iterator[Cache]:
    """A cache of the closure of ``planned`` in ``folder``, for the block. Raises `BenchError`."""
    folder.mkdir()
    key, cache, work = folder / "key", folder / "cache", planned.work
    public = _run_output(LAMINA, "store", "key", "generate", _NAME, "-o", str(key))
    places = [word for store in work.stores or ("/",) for word in ("--store", store)]
    _run_output(
        LAMINA, "store", "push", "--quiet", "--to", f"file://{cache}", "--key", str(key), *places, "--", *work.roots
    )
    command = (sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(cache), "0")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            # It says where it listens, in words and then as a URL in brackets.
            line = server.stdout.readline() if server.stdout else ""
            yield Cache(cache, line.partition("(")[2].partition(")")[0].rstrip("/"), public.strip())
        finally:
            server.terminate()


def _run_output(*command: str) -> str:
    ran = subprocess.run(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=False)
    if ran.returncode:
        raise BenchError(f"{' '.join(command[:3])}: got exit code {ran.returncode}, expected 0")
    return ran.stdout
