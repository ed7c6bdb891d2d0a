"""The rows of the table: which command is compared with which.

Both sides of a row pack the same store paths from a warm page cache, and write to the same kind of output.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.cache import FilledStore, serve_cache
from bench.engine import LoadedEngine, find_problem
from bench.measuring import (
    ENVIRONMENT,
    BenchError,
    Command,
    Side,
    compare,
    measure_seconds,
    missing_program,
    output_size,
)
from bench.memory import can_measure, measure_peak
from bench.registry import REGISTRY, SKOPEO, serve_registry
from bench.repeat import Layout, create_change
from bench.results import MEGABYTE, Peak, Result, Row, Sizes, SkippedRow, Timed
from bench.targets import START
from bench.trees import CHUNK
from bench.workloads import LAMINA, PlannedWorkload

from lamina.system.cpus import cpu_count

_HERE = Path(__file__).parent
_CAT = ("cat",)
_PASS = (sys.executable, "-c", "pass")
# Programs that end at once run this many times in one measurement, because a single run is too short.
_TIMES = 10


@dataclass(frozen=True, slots=True)
class Settings:
    """The extent of the measurements.

    ``pairs`` is the number of pairs of runs, ``slow_pairs`` that for comparisons with a program that takes many times
    as long as lamina. Sizes are in bytes.
    """

    pairs: int
    slow_pairs: int
    sample_size: int
    leaf_size: int
    seed: int
    engine: str = "docker"


@dataclass(frozen=True, slots=True)
class Bench:
    """A workload, a folder for temporary files, and the settings."""

    planned: PlannedWorkload
    folder: Path
    settings: Settings

    def row(self, title: str, note: str = "") -> Row:
        """Return the row ``title`` of this workload."""
        return Row.of(self.planned.work.kind, self.planned.work.name, title, note)

    def lamina(self, command: str, *options: str) -> Command:
        """Return the command line that runs ``lamina COMMAND`` on this workload."""
        return self.planned.work.lamina(command, *options)

    def stream_side(self, *options: str) -> Side:
        """Return the side ``lamina stream | cat``.

        The pipe is necessary because GNU tar, on the other side, reads no files when it writes to /dev/null.
        """
        return Side((self.lamina("stream", *options), _CAT))

    def build_side(self, ending: str) -> Side:
        """Return the side ``lamina build`` to a new file."""
        file = self.folder / f"ours{ending}"
        return Side((self.lamina("build", "--no-layer-cache", "-o", str(file)),), prepare=_remove(file))


Results = Iterator[Result | SkippedRow]


def _compare(row: Row, ours: Side, theirs: Side, pairs: int) -> Timed | SkippedRow:
    missing = missing_program(theirs)
    if missing:
        return SkippedRow(row, missing)
    return Timed(row, compare(ours, theirs, pairs))


def cold(bench: Bench) -> Results:
    """Compare a stream without a layer cache, which hashes every layer, with tar."""
    for peer in (_CAT, ("sha256sum",)):
        theirs = Side((bench.planned.tar(), peer))
        row = bench.row(f"cold stream ÷ tar | {peer[0]}")
        yield _compare(row, bench.stream_side("--no-layer-cache"), theirs, bench.settings.pairs)


def baseline(bench: Bench) -> Results:
    """Compare a stream without a layer cache with the method of nixpkgs."""
    plan = bench.folder / "plan.json"
    plan.write_text(json.dumps(bench.planned.document))
    twice = (sys.executable, "-P", str(_HERE / "baseline.py"), str(plan), bench.planned.work.folder or "/")
    row = bench.row("cold stream ÷ two passes")
    yield _compare(row, bench.stream_side("--no-layer-cache"), Side((twice, _CAT)), bench.settings.slow_pairs)


def warm(bench: Bench) -> Results:
    """Compare a stream of layers from the layer cache, which the uncounted run has filled, with tar."""
    ours = bench.stream_side("--layer-cache", str(bench.folder / "warm.sqlite"))
    theirs = Side((bench.planned.tar(), _CAT))
    yield _compare(bench.row("warm stream ÷ tar | cat"), ours, theirs, bench.settings.pairs)


def repeat(bench: Bench) -> Results:
    """Compare a build into a layout that holds the image before a change with one into an empty folder."""
    changed = create_change(bench.planned, bench.folder / "change", bench.settings.seed, bench.settings.leaf_size)
    kept, fresh = Layout(bench.folder / "kept"), Layout(bench.folder / "fresh")
    measure_seconds(Side((kept.build(changed.before),), prepare=kept.clear))
    restore = kept.make_restorer(bench.folder / "copies")

    def prepare() -> None:
        fresh.clear()
        restore()

    ours = Side((kept.build(changed.after),), prepare=prepare)
    theirs = Side((fresh.build(changed.after),), prepare=fresh.clear)
    row = bench.row("repeat build ÷ cold build", f"{changed.changed_size / MEGABYTE:.1f} MB of layers changed")
    yield _compare(row, ours, theirs, bench.settings.pairs)
    if not fresh.manifests() <= kept.manifests():
        raise BenchError(f"{row.title}: got another image, expected the same")


def gzip(bench: Bench) -> Results:
    """Compare gzip, as a stage alone and for a whole image, with pigz, which nixpkgs uses."""
    return _compression(bench, ("gzip", "gz", ".tar.gz"), ("pigz", "-nTR"), bench.settings.slow_pairs)


def zstd(bench: Bench) -> Results:
    """Compare zstd, as a stage alone and for a whole image, with the zstd program."""
    return _compression(bench, ("zstd", "zstd", ".tar.zst"), ("zstd", "-T0"), bench.settings.pairs)


def _compression(bench: Bench, names: tuple[str, str, str], peer: Command, pairs: int) -> Results:
    name, codec, ending = names
    peer_command = " ".join(peer)
    stage, sizes = bench.row(f"{name} stage ÷ {peer_command}"), bench.row(f"{name} stage ÷ {peer_command}, size")
    whole = bench.row(f"build {ending} ÷ tar | {peer_command}")
    sample = bench.folder / "sample.tar"
    ours = Side(((sys.executable, "-P", str(_HERE / "stage.py"), codec, str(cpu_count())),), source=sample)
    theirs = Side((peer,), source=sample)
    missing = missing_program(theirs)
    if missing:
        yield from (SkippedRow(row, missing) for row in (stage, sizes, whole))
        return
    _write_sample(bench.planned.tar(), bench.settings.sample_size, sample)
    yield _compare(stage, ours, theirs, pairs)
    yield Sizes(sizes, *(output_size(side, bench.folder / "count") for side in (ours, theirs)))
    file = bench.folder / f"theirs{ending}"
    theirs = Side((bench.planned.tar(), peer), output=file, prepare=_remove(file))
    yield _compare(whole, bench.build_side(ending), theirs, pairs)


def _write_sample(tar: Command, size: int, file: Path) -> None:
    with subprocess.Popen(tar, stdout=subprocess.PIPE, env=ENVIRONMENT) as process, file.open("wb") as out:
        if process.stdout:
            while size and (data := process.stdout.read(min(size, CHUNK))):
                size -= out.write(data)
            process.stdout.close()
    if process.returncode not in {0, -signal.SIGPIPE}:
        raise BenchError(f"{tar[0]}: got exit code {process.returncode}, expected 0")


def cache(bench: Bench) -> Results:
    """Compare fetching and streaming a closure from a binary cache with decompressing its NARs."""
    missing = missing_program(Side((("zstd",),)))
    work, peer = bench.planned.work, "zstd -dc of all its NARs, two at a time"
    rows = [bench.row(f"{title} from a cache ÷ {peer}") for title in ("fetch", "cold stream", "repeated stream")]
    if missing:
        yield from (SkippedRow(row, missing) for row in rows)
        return
    with serve_cache(bench.planned, bench.folder / "cached") as served:
        kept, theirs = FilledStore(bench.folder / "kept-data"), Side((served.decompress(),))
        fetch = (LAMINA, "store", "fetch", "--quiet", *served.store_options(), "--", *work.roots)
        stream = work.lamina("stream", "--no-layer-cache", *served.store_options())
        for row, ours in zip(rows, (kept.side(fetch), kept.side(stream), kept.filled(stream)), strict=True):
            yield _compare(row, ours, theirs, bench.settings.pairs)


def push(bench: Bench) -> Results:
    """Compare a push to an empty registry, and one that changes nothing, with skopeo."""
    peer = "skopeo copy"
    rows = [bench.row(f"{title} ÷ {peer}") for title in ("first push", "repeated push")]
    peak = bench.row("peak memory, first push")
    missing = missing_program(Side(((REGISTRY,), (SKOPEO,))))
    if missing:
        yield from (SkippedRow(row, missing) for row in (*rows, peak))
        return
    with serve_registry(bench.planned, bench.folder / "registry") as served:
        yield _compare(rows[0], served.push(), served.copy(), bench.settings.slow_pairs)
        yield Peak(peak, measure_peak(served.push())) if can_measure() else _skip_peak(peak)
        served.clear()
        yield _compare(rows[1], served.push_again(), served.copy_again(), bench.settings.pairs)


def load(bench: Bench) -> Results:
    """Compare loading an image into an engine, for the first time and after a change, with the engine's own command."""
    settings, name = bench.settings, bench.settings.engine
    first, again = "first load ÷ stream | load", "repeated load ÷ stream | load"
    if problem := find_problem(name):
        yield from (SkippedRow(bench.row(title), problem) for title in (first, again))
        return
    engine = LoadedEngine(name, bench.folder)
    changed = create_change(bench.planned, bench.folder / "change", settings.seed, settings.leaf_size)
    with engine.removing_image():
        sides = engine.load(changed.before), engine.feed(changed.before)
        yield _compare(bench.row(first, name), *sides, settings.slow_pairs)
        with engine.with_image(changed.before):
            note = f"{name}, {changed.changed_size / MEGABYTE:.1f} MB of layers changed"
            sides = engine.load_again(changed.after), engine.feed_again(changed.after)
            yield _compare(bench.row(again, note), *sides, settings.slow_pairs)


def memory(bench: Bench) -> Results:
    """Measure the peak memory of all processes of lamina together."""
    layout = Layout(bench.folder / "measured")
    sides = {"cold stream": bench.stream_side("--no-layer-cache")}
    if not bench.planned.work.huge:
        sides["build DIR/"] = Side((layout.build(bench.planned.work),), prepare=layout.clear)
        sides |= {f"build {ending}": bench.build_side(ending) for ending in (".tar.gz", ".tar.zst")}
    for title, side in sides.items():
        row = bench.row(f"peak memory, {title}")
        yield Peak(row, measure_peak(side)) if can_measure() else _skip_peak(row)


def _skip_peak(row: Row) -> SkippedRow:
    return SkippedRow(row, "got no /proc/PID/smaps_rollup")


def plan(bench: Bench) -> Results:
    """Compare ``lamina plan`` with the start of Python."""
    ours = Side((bench.lamina("plan", "--json"),))
    yield _compare(bench.row("plan ÷ python -c pass"), ours, Side((_PASS,), times=_TIMES), bench.settings.pairs)


def start(settings: Settings) -> Results:
    """Compare the start of lamina with that of Python; the bytecode exists and is not written again."""
    variables = (("PYTHONDONTWRITEBYTECODE", "1"),)
    theirs = Side((_PASS,), times=_TIMES, variables=variables)
    for words in (("--version",), ("stream", "--help")):
        ours = Side(((LAMINA, *words),), times=_TIMES, variables=variables)
        row = Row.of(START, START, f"lamina {' '.join(words)} ÷ python -c pass")
        yield _compare(row, ours, theirs, settings.pairs)


def _remove(file: Path) -> Callable[[], None]:
    return partial(file.unlink, missing_ok=True)


STEPS: Mapping[str, Callable[[Bench], Results]] = {
    step.__name__: step for step in (cold, baseline, warm, repeat, gzip, zstd, cache, push, load, memory, plan)
}
