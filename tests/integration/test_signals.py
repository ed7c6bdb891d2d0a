"""A signal ends a run at any moment with the right exit code, at most one line on stderr, and no files left behind.

After ``kill -9``, the next run removes the files that were left behind.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.embedded_store import KEY, ROOT, check, check_cache, fetch_example
from tests.support.fake_nix_store import FakeStore, Program
from tests.support.paths import EXAMPLES
from tests.support.signal_injection import InterruptedRun, interrupter

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
# How many moments are tried for each run and each signal; with 10 runs that is 400 for each signal.
# LAMINA_TEST_MOMENTS sets another number.
MOMENTS = int(os.environ.get("LAMINA_TEST_MOMENTS", "40"))
# How many moments of `kill -9` are tried for each run; LAMINA_TEST_KILLS sets another number.
KILLS = int(os.environ.get("LAMINA_TEST_KILLS", "5"))


@dataclass(frozen=True)
class SignalCase:
    """The stores that the runs read, and the folder for all that they write."""

    folder: Path
    store: Path
    embedded: Path

    @property
    def result(self) -> Path:
        return self.folder / "result"

    def reset(self) -> None:
        """Restore the state before the first run."""
        shutil.rmtree(self.result, ignore_errors=True)
        self.result.mkdir()
        shutil.copytree(self.embedded, self.result / "store")

    def leftovers(self) -> list[str]:
        """Return the temporary files and folders that are left behind."""
        found = [*(self.folder / "tmp").iterdir(), *self.result.rglob(".lamina.*")]
        found += (self.result / "store" / ".lamina" / "arriving").glob("*")
        found += (self.result / "new" / ".lamina" / "arriving").glob("*")
        return sorted(map(str, found))


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SignalCase]:
    folder = tmp_path_factory.mktemp("signals")
    (folder / "tmp").mkdir()
    (folder / "run").mkdir()
    (folder / "add").mkdir()
    (folder / "add" / "file").write_bytes(b"x" * 100_000)
    store = FakeStore(folder / "root")
    library = store.add("library-1", {"lib": {"file": b"x" * 200_000}})
    store.add("hello-2", {"bin": {"hello": Program(b"#! " + str(library).encode())}}, references=[library])
    fetch_example(folder / "embedded")
    yield SignalCase(folder, folder / "root", folder / "embedded")
    shutil.rmtree(folder / "embedded", ignore_errors=True)


def image(case: SignalCase, *arguments: str) -> list[str]:
    return ["build", "hello", "--store", str(case.store), "--layer-cache", str(case.folder / "cache"), *arguments]


RUNS: dict[str, Callable[[SignalCase], list[str]]] = {
    "tar": lambda case: image(case, "-o", f"{case.result}/image.tar"),
    "tar.gz": lambda case: image(case, "-o", f"{case.result}/image.tar.gz"),
    "workers": lambda case: image(case, "-o", f"{case.result}/image.tar", "--no-layer-cache", "--jobs", "2"),
    "tar.zst": lambda case: image(case, "-o", f"{case.result}/image.tar.zst"),
    "layout": lambda case: image(case, "-o", f"{case.result}/layout/", "--layer-compression", "gzip"),
    "compressed layers": lambda case: image(case, "-o", f"{case.result}/image.tar", "--layer-compression", "zstd"),
    "fetch": lambda case: [
        *("store", "fetch", ROOT, "--store", f"file://{EXAMPLES}/cache", "--trusted-key", KEY),
        *("--to", f"{case.result}/new"),
    ],
    "add": lambda case: ["store", "add", f"{case.folder}/add", "--to", f"{case.result}/store"],
    "gc": lambda case: ["store", "gc", "--all", "--store", f"{case.result}/store"],
    "push": lambda case: [
        *("store", "push", "hello", "--store", f"{case.result}/store", "--to", f"file://{case.result}/pushed"),
    ],
}


@pytest.mark.parametrize("name", RUNS)
def test_a_signal_at_any_moment_ends_a_run_and_leaves_nothing(name: str, case: SignalCase) -> None:
    arguments, workers = [*RUNS[name](case), "--quiet"], name in {"workers", "layout"}
    environment = {"TMPDIR": str(case.folder / "tmp"), "XDG_CACHE_HOME": str(case.folder / "home")}
    chosen = random.Random(name)
    faults: list[str] = []
    with interrupter(case.folder / "run") as lamina:
        case.reset()
        count = lamina.lines(arguments, workers=workers, environment=environment)
        case.reset()
        count = lamina.lines(arguments, workers=workers, environment=environment)
        for number, code in CODES.items():
            for at in sorted(chosen.sample(range(1, count), min(MOMENTS, count - 1))):
                case.reset()
                ended = lamina.run(arguments, number=number, at=at, workers=workers, environment=environment)
                fault = _find_fault(name, case, number, code, ended)
                if not fault and (case.result / "new").exists() and not (case.result / "new/nix-cache-info").exists():
                    again = lamina.run(arguments, workers=workers, environment=environment)
                    fault = again.stderr if again.code else ""
                if fault:
                    faults.append(f"{number.name} at {at} of {count}: {fault}")
    assert not faults, "\n".join([f"{len(faults)} faults", *faults[:10]])


def _find_fault(name: str, case: SignalCase, number: signal.Signals, code: int, ended: InterruptedRun) -> str:
    message = "lamina: interrupted\n" if number == signal.SIGINT else ""
    # The last of the counted lines run when the work is done, so a signal there changes nothing.
    expected = {(code, message), (0, "")}
    if (ended.code, ended.stderr) not in expected:
        return f"{ended.code}: {ended.stderr}"
    if case.leftovers():
        return f"left {case.leftovers()}"
    check(case.result / "store")
    if (case.result / "new" / "nix-cache-info").exists():
        check(case.result / "new")
    if name == "push" and (case.result / "pushed").exists():
        check_cache(case.result / "pushed")
    return ""


@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_is_killed_is_repeated_with_nothing_left_of_it(name: str, case: SignalCase) -> None:
    arguments, workers = [*RUNS[name](case), "--quiet"], name in {"workers", "layout"}
    environment = {"TMPDIR": str(case.folder / "tmp"), "XDG_CACHE_HOME": str(case.folder / "home")}
    chosen = random.Random(name)
    with interrupter(case.folder / "run") as lamina:
        for _ in range(2):  # the first run finds out which modules the second one imports before it counts
            case.reset()
            count = lamina.lines(arguments, workers=workers, environment=environment)
        for at in sorted(chosen.sample(range(1, count), min(KILLS, count - 1))):
            case.reset()
            killed = lamina.run(arguments, number=signal.SIGKILL, at=at, workers=workers, environment=environment)
            assert killed.code in {-signal.SIGKILL, 0}
            again = lamina.run(arguments, workers=workers, environment=environment)
            assert (again.code, again.stderr) == (0, ""), f"after kill -9 at {at} of {count}"
            assert case.leftovers() == [], f"after kill -9 at {at} of {count}"
            check(case.result / "store")
