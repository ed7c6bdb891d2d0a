"""Compare fetching a closure from a binary cache with decompressing its NARs.

Another process serves the cache over HTTP on loopback. The store is emptied before each run that must fetch.
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
from bench.workloads import LAMINA, PlannedWorkload

_NAME = "bench-1"
# Decompresses two NARs at a time, each with a separate program, to /dev/null.
_DECOMPRESS = 'find "$0" -name "*.zst" -print0 | xargs -0 -P 2 -n 1 sh -c \'exec zstd -dcq "$0" >/dev/null\''


@dataclass(frozen=True, slots=True)
class SignedCache:
    """A signed binary cache with zstd compression, served at ``url``."""

    folder: Path
    url: str
    key: str

    def store_options(self) -> tuple[str, ...]:
        """Return the options that make a command use this cache and no other store."""
        return ("--store", self.url, "--trusted-key", self.key)

    def decompress(self) -> Command:
        """Return the command that decompresses every NAR, two at a time."""
        return ("sh", "-c", _DECOMPRESS, str(self.folder / "nar"))


@dataclass(frozen=True, slots=True)
class FilledStore:
    """An embedded store below ``folder``, which a run fills from the cache."""

    folder: Path

    def side(self, command: Command) -> Side:
        """Return a side that runs ``command`` with an empty store."""
        return Side((command,), prepare=self.clear, variables=self.variables)

    def filled(self, command: Command) -> Side:
        """Return a side that runs ``command`` with the store that the previous run has filled."""
        return Side((command,), variables=self.variables)

    @property
    def variables(self) -> tuple[tuple[str, str], ...]:
        """The environment variables that make it the user's store."""
        return (("XDG_DATA_HOME", str(self.folder)),)

    def clear(self) -> None:
        """Delete the store."""
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def serve_cache(planned: PlannedWorkload, folder: Path) -> Iterator[SignedCache]:
    """Push the closure of ``planned`` to a cache in ``folder`` and serve it for the block. Raises `BenchError`."""
    folder.mkdir()
    key, cache, work = folder / "key", folder / "cache", planned.work
    public = _run_output(LAMINA, "store", "key", "generate", _NAME, "-o", str(key))
    store_options = [word for store in work.stores or ("/",) for word in ("--store", store)]
    _run_output(
        LAMINA,
        "store",
        "push",
        "--quiet",
        "--to",
        f"file://{cache}",
        "--key",
        str(key),
        *store_options,
        "--",
        *work.roots,
    )
    command = (sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(cache), "0")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            # The server prints its address in words and then as a URL in brackets.
            line = server.stdout.readline() if server.stdout else ""
            yield SignedCache(cache, line.partition("(")[2].partition(")")[0].rstrip("/"), public.strip())
        finally:
            server.terminate()


def _run_output(*command: str) -> str:
    ran = subprocess.run(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True, check=False)
    if ran.returncode:
        raise BenchError(f"{' '.join(command[:3])}: got exit code {ran.returncode}, expected 0")
    return ran.stdout
