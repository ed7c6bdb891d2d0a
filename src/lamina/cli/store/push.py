"""``lamina store push``."""

from __future__ import annotations

import click

import lamina
from lamina.cli.command import option, verb
from lamina.cli.documents.stores import dump_store_push
from lamina.cli.options import NUMBER, ReportOptions, report_options
from lamina.cli.output import print_stdout
from lamina.cli.reporting import explain, format_count, open_progress, print_json, warn
from lamina.cli.store.store_option import StoreOptions, store_options
from lamina.inputs.parsers import parse_jobs, parse_nar_compression
from lamina.messages.redaction import clean_url
from lamina.messages.sizes import format_size


@verb(
    "push", "lamina store push hello --to s3://cache --key cache.key", "lamina store push --all --to file:///srv/cache"
)
@click.argument(
    "roots", metavar="[ROOT]...", nargs=-1, help="A store path or a name; everything that it needs is pushed too."
)
@option("--to", section="output", required=True, metavar="URL", help="The cache: file:///FOLDER or s3://BUCKET/PREFIX.")
@option("--all", "all_paths", is_flag=True, help="Push everything in the store; there is no ROOT.")
@option(
    "--compression",
    completion=("none", "zstd", "xz", "gzip", "bzip2"),
    default="zstd",
    parse=parse_nar_compression,
    metavar="WORD[:LEVEL]",
    help="Compress NARs: none, zstd, xz, gzip or bzip2.  [default: zstd]",
)
@option("--key", "keys", completion="file", multiple=True, metavar="FILE", help="Sign the paths with this secret key.")
@option("--no-listings", is_flag=True, help="Do not write the listings of what is in each NAR.")
@option(
    "--jobs",
    section="speed",
    type=NUMBER,
    parse=parse_jobs,
    metavar="N",
    help="Push this many NARs at a time.  [default: one for each processor]",
)
@store_options()
@report_options
def command(
    roots: tuple[str, ...],
    to: str,
    store: StoreOptions,
    compression: str,
    keys: tuple[str, ...],
    jobs: int | None,
    report: ReportOptions,
    *,
    all_paths: bool,
    no_listings: bool,
) -> None:
    """Copy each ROOT and everything it needs to a binary cache, for lamina and Nix to fetch from.

    A path that is in the cache is not sent again, but signed if it lacks the signature of --key. The cache can be used
    at any moment, because a path is published after everything that it refers to. Prints each path on stderr when it is
    sent, and a summary at the end.
    """
    explain([f"store: {store.folder}", f"cache: {clean_url(to)}"], report)
    with open_progress(report) as progress:
        result = lamina.push_paths(
            roots,
            to=to,
            embedded_store=store.folder,
            all_paths=all_paths,
            compression=compression,
            key_files=keys,
            listings=not no_listings,
            jobs=jobs,
            progress=progress,
            **store.sources,
        )
    warn(result.warnings, report)
    if report.as_json:
        print_json(dump_store_push(clean_url(to), result))
        return
    sent = f"{format_count(len(result.sent), 'path')} sent ({format_size(result.size)})"
    signed = f", {len(result.signed)} signed" if result.signed else ""
    print_stdout(f"{sent}{signed}, {result.present} already there")
