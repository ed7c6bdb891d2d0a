"""``lamina store fetch``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import click

import lamina
from lamina.cli.command import option, verb
from lamina.cli.documents.stores import dump_fetch
from lamina.cli.options import ReportOptions, report_options
from lamina.cli.output import print_stderr, print_stdout
from lamina.cli.reporting import print_json, print_summary, warn
from lamina.cli.store.path_reports import count_paths, summarize_paths
from lamina.cli.store.store_option import StoreOptions, destination_options
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.api.store import FetchProgress
    from lamina.core.pathinfo import PathInfo


@verb(
    "fetch",
    "lamina store fetch hello --channel nixos-25.11",
    "lamina store fetch /nix/store/…-app-1.0 --store https://cache.example.org",
)
@click.argument(
    "roots",
    metavar="ROOT...",
    nargs=-1,
    required=True,
    help="A store path, or a name that --channel or a store knows.",
)
@destination_options(
    "Read store paths from here: a binary cache (https://, file://, s3://), a folder that holds nix/store, or another "
    "embedded store. The first that has a path is used.  [default: https://cache.nixos.org]"
)
@option(
    "--jobs",
    section="speed",
    type=int,
    metavar="N",
    help="Fetch this many at a time.  [default: two more than there are processors]",
)
@report_options
def command(roots: tuple[str, ...], store: StoreOptions, jobs: int | None, report: ReportOptions) -> None:
    """Fetch each ROOT and everything it needs into the embedded store.

    Prints the store paths, one a line, references first. What is there already is not fetched again, and every other
    path is checked before it counts.
    """
    with _open_progress(report) as progress:
        fetched = lamina.fetch_paths(roots, embedded_store=store.folder, jobs=jobs, progress=progress, **store.sources)
    warn(fetched.warnings, report)
    if report.as_json:
        print_json(dump_fetch(store.folder, fetched))
        return
    for narinfo in fetched.paths:
        print_stdout(str(narinfo.info.path))
    new = summarize_paths(narinfo for narinfo in fetched.paths if narinfo.info.path in fetched.new)
    print_summary(f"{store.folder}: {count_paths(len(fetched.paths))}, fetched {new}", report)


class _FetchLine:
    """Prints one line at the beginning: how many store paths are fetched, and their size."""

    def begin(self, missing: Collection[PathInfo], path_count: int) -> None:
        size = format_size(sum(info.nar_size for info in missing))
        if missing:
            print_stderr(f"Fetching {len(missing)} of {count_paths(path_count)}, {size}")

    def advance(self, info: PathInfo) -> None:
        """Do nothing: single paths have no line."""


@contextlib.contextmanager
def _open_progress(report: ReportOptions) -> Iterator[FetchProgress | None]:
    """Open the progress display that ``report`` asks for.

    It draws a bar on a terminal, prints a line elsewhere or under ``--progress plain``, and is None under ``--quiet``
    and ``--json``.
    """
    if report.is_silent:
        yield None
    elif report.draws_bars:
        from lamina.cli.progress_bars import FetchBar

        bar = FetchBar(sys.stderr)
        try:
            yield bar
        finally:
            bar.stop()
    else:
        yield _FetchLine()
