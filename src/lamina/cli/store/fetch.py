"""``lamina store fetch``."""

from __future__ import annotations

import click

import lamina
from lamina.cli.command import option, verb
from lamina.cli.documents.stores import dump_fetch
from lamina.cli.options import NUMBER, ReportOptions, report_options
from lamina.cli.output import print_stdout
from lamina.cli.reporting import explain, format_count, open_progress, print_json, print_summary, warn
from lamina.cli.store.store_option import StoreOptions, destination_options
from lamina.inputs.parsers import parse_jobs
from lamina.messages.sizes import format_size


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
    type=NUMBER,
    parse=parse_jobs,
    metavar="N",
    help="Fetch this many at a time.  [default: two more than there are processors]",
)
@report_options
def command(roots: tuple[str, ...], store: StoreOptions, jobs: int | None, report: ReportOptions) -> None:
    """Fetch each ROOT and everything it needs into the embedded store.

    Prints the store paths, one per line, references first. Paths that are in the store are not fetched again. Every
    other path is checked before it is valid.
    """
    explain([f"store to write to: {store.folder}"], report)
    with open_progress(report) as progress:
        fetched = lamina.fetch_paths(roots, embedded_store=store.folder, jobs=jobs, progress=progress, **store.sources)
    warn(fetched.warnings, report)
    if report.as_json:
        print_json(dump_fetch(store.folder, fetched))
        return
    for narinfo in fetched.paths:
        print_stdout(str(narinfo.info.path))
    size = sum(narinfo.info.nar_size for narinfo in fetched.paths if narinfo.info.path in fetched.new)
    count = f"{len(fetched.new)} of {format_count(len(fetched.paths), 'path')} fetched"
    print_summary((store.folder, f"{count}, {format_size(size)}" if size else count), report)
