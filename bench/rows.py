"""The lines of the table: what is compared with what.

Invariant: both sides of a line pack the same store paths from a warm page cache, and write to the same kind of place.
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
from bench.measuring import ENVIRONMENT, BenchError, Command, Side, compare, missing_program, output_size, seconds
from bench.memory import can_measure, peak
from bench.repeat import Layout, change
from bench.results import MEGABYTE, Peak, Result, Row, Sizes, SkippedRow, Timed
from bench.targets import START
from bench.trees import CHUNK
from bench.workloads import LAMINA, PlannedWork

from lamina.system.cpus import cpu_count

_HERE = Path(__file__).parent
_CAT = ("cat",)
_PASS = (sys.executable, "-c", "pass")
# Runs of a program that ends at once are too short to be measured one by one.
_TIMES = 10


@dataclass(frozen=True, slots=True)
class Settings:
    """How thoroughly: ``slow_pairs`` are for comparisons whose other side takes many times as long as ours."""

    pairs: int
    slow_pairs: int
    sample_size: int
    leaf_size: int
    seed: int


@dataclass(frozen=True, slots=True)
class Bench:
    """A work, and a folder for what its lines write."""

    planned: PlannedWork
    folder: Path
    settings: Settings

    def row(self, title: str, note: str = "") -> Row:
        """The line ``title`` of this work."""
        return Row.of(self.planned.work.kind, self.planned.work.name, title, note)

    def lamina(self, verb: str, *options: str) -> Command:
        """The command that does ``verb`` with this work."""
        return self.planned.work.lamina(verb, *options)

    def stream_side(self, *options: str) -> Side:
        """``lamina stream | cat``. The pipe is not decoration: GNU tar reads no file when it writes to /dev/null."""
        return Side((self.lamina("stream", *options), _CAT))

    def build_side(self, ending: str) -> Side:
        """``lamina build`` to a new file."""
        file = self.folder / f"ours{ending}"
        return Side((self.lamina("build", "--no-layer-cache", "-o", str(file)),), prepare=_remove(file))


Results = Iterator[Result | SkippedRow]


def _compare(row: Row, ours: Side, theirs: Side, pairs: int) -> Timed | SkippedRow:
    lacking = missing_program(theirs)
    if lacking:
        return SkippedRow(row, lacking)
    return Timed(row, compare(ours, theirs, pairs))


def cold(bench: Bench) -> Results:
    """A stream that knows nothing and hashes every layer, beside tar."""
    for peer in (_CAT, ("sha256sum",)):
        theirs = Side((bench.planned.tar(), peer))
        row = bench.row(f"cold stream ÷ tar | {peer[0]}")
        yield _compare(row, bench.stream_side("--no-layer-cache"), theirs, bench.settings.pairs)


def baseline(bench: Bench) -> Results:
    """The same beside nixpkgs' way."""
    plan = bench.folder / "plan.json"
    plan.write_text(json.dumps(bench.planned.document))
    twice = (sys.executable, "-P", str(_HERE / "baseline.py"), str(plan), bench.planned.work.folder or "/")
    row = bench.row("cold stream ÷ two passes")
    yield _compare(row, bench.stream_side("--no-layer-cache"), Side((twice, _CAT)), bench.settings.slow_pairs)


def warm(bench: Bench) -> Results:
    """A stream of layers that the layer cache has: the run that does not count has filled it."""
    ours = bench.stream_side("--layer-cache", str(bench.folder / "warm.sqlite"))
    theirs = Side((bench.planned.tar(), _CAT))
    yield _compare(bench.row("warm stream ÷ tar | cat"), ours, theirs, bench.settings.pairs)


def repeat(bench: Bench) -> Results:
    """A build into the layout that holds the image before a change, beside one into an empty folder."""
    changed = change(bench.planned, bench.folder / "change", bench.settings.seed, bench.settings.leaf_size)
    kept, fresh = Layout(bench.folder / "kept"), Layout(bench.folder / "fresh")
    seconds(Side((kept.build(changed.before),), prepare=kept.clear))
    restore = kept.restorer(bench.folder / "copies")

    def prepare() -> None:
        fresh.clear()
        restore()

    ours = Side((kept.build(changed.after),), prepare=prepare)
    theirs = Side((fresh.build(changed.after),), prepare=fresh.clear)
    row = bench.row("repeat build ÷ cold build", f"{changed.changed / MEGABYTE:.1f} MB of layers changed")
    yield _compare(row, ours, theirs, bench.settings.pairs)
    if not fresh.manifests() <= kept.manifests():
        raise BenchError(f"{row.title}: got another image, expected the same")


def gzip(bench: Bench) -> Results:
    """gzip, the stage alone and a whole image, beside what nixpkgs uses."""
    return _compression(bench, ("gzip", "gz", ".tar.gz"), ("pigz", "-nTR"), bench.settings.slow_pairs)


def zstd(bench: Bench) -> Results:
    """The same with zstd."""
    return _compression(bench, ("zstd", "zstd", ".tar.zst"), ("zstd", "-T0"), bench.settings.pairs)


def _compression(bench: Bench, names: tuple[str, str, str], peer: Command, pairs: int) -> Results:
    name, codec, ending = names
    shown = " ".join(peer)
    stage, sizes = bench.row(f"{name} stage ÷ {shown}"), bench.row(f"{name} stage ÷ {shown}, size")
    whole = bench.row(f"build {ending} ÷ tar | {shown}")
    sample = bench.folder / "sample.tar"
    ours = Side(((sys.executable, "-P", str(_HERE / "stage.py"), codec, str(cpu_count())),), source=sample)
    theirs = Side((peer,), source=sample)
    lacking = missing_program(theirs)
    if lacking:
        yield from (SkippedRow(row, lacking) for row in (stage, sizes, whole))
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
    """A closure from a binary cache, fetched and streamed, beside decompressing alone."""
    lacking = missing_program(Side((("zstd",),)))
    work, peer = bench.planned.work, "zstd -dc of all its NARs, two at a time"
    rows = [bench.row(f"{title} from a cache ÷ {peer}") for title in ("fetch", "cold stream", "repeated stream")]
    if lacking:
        yield from (SkippedRow(row, lacking) for row in rows)
        return
    with serve_cache(bench.planned, bench.folder / "cached") as found:
        kept, theirs = FilledStore(bench.folder / "kept-data"), Side((found.decompress(),))
        fetch = (LAMINA, "store", "fetch", "--quiet", *found.store(), "--", *work.roots)
        stream = work.lamina("stream", "--no-layer-cache", *found.store())
        for row, ours in zip(rows, (kept.side(fetch), kept.side(stream), kept.filled(stream)), strict=True):
            yield _compare(row, ours, theirs, bench.settings.pairs)


def memory(bench: Bench) -> Results:
    """What all of our processes take together."""
    layout = Layout(bench.folder / "measured")
    sides = {"cold stream": bench.stream_side("--no-layer-cache")}
    if not bench.planned.work.huge:
        sides["build DIR/"] = Side((layout.build(bench.planned.work),), prepare=layout.clear)
        sides |= {f"build {ending}": bench.build_side(ending) for ending in (".tar.gz", ".tar.zst")}
    for title, side in sides.items():
        row = bench.row(f"peak memory, {title}")
        yield Peak(row, peak(side)) if can_measure() else SkippedRow(row, "got no /proc/PID/smaps_rollup")


def plan(bench: Bench) -> Results:
    """How long it takes to say what goes where."""
    ours = Side((bench.lamina("plan", "--json"),))
    yield _compare(bench.row("plan ÷ python -c pass"), ours, Side((_PASS,), times=_TIMES), bench.settings.pairs)


def start(settings: Settings) -> Results:
    """How long it takes to begin, with bytecode that is there and stays as it is."""
    variables = (("PYTHONDONTWRITEBYTECODE", "1"),)
    theirs = Side((_PASS,), times=_TIMES, variables=variables)
    for words in (("--version",), ("stream", "--help")):
        ours = Side(((LAMINA, *words),), times=_TIMES, variables=variables)
        row = Row.of(START, START, f"lamina {' '.join(words)} ÷ python -c pass")
        yield _compare(row, ours, theirs, settings.pairs)


def _remove(file: Path) -> Callable[[], None]:
    return partial(file.unlink, missing_ok=True)


STEPS: Mapping[str, Callable[[Bench], Results]] = {
    step.__name__: step for step in (cold, baseline, warm, repeat, gzip, zstd, cache, memory, plan)
}
