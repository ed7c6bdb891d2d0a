"""``lamina store push``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import lamina
from lamina.cli.options import ReportOptions, report_options
from lamina.cli.output import print_stderr, print_stdout
from lamina.cli.reporting import print_json, warn
from lamina.cli.store.path_reports import count_paths
from lamina.cli.store.store_option import StoreOptions, store_options
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.core.names import StorePath


@click.command(
    "push",
    short_help="Copy store paths to another binary cache.",
    epilog="Example: lamina store push hello --to s3://cache --key cache.key",
)
@click.argument("roots", metavar="[ROOT]...", nargs=-1)
@click.option("--to", required=True, metavar="URL", help="The cache: file:///FOLDER or s3://BUCKET/PREFIX.")
@click.option("--all", "all_paths", is_flag=True, help="All that is in the store, in place of ROOT...")
@click.option(
    "--compression",
    default="zstd",
    metavar="WORD[:LEVEL]",
    help="How NARs are compressed: none, zstd, xz, gzip or bzip2.  [default: zstd]",
)
@click.option("--key", "keys", multiple=True, metavar="FILE", help="A secret key to sign with; repeat it.")
@click.option("--no-listings", is_flag=True, help="Write no listing of what is in each NAR.")
@click.option("--jobs", type=int, metavar="N", help="How many NARs go at a time.  [default: one for each processor]")
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
    """Copy ROOT... and all they need to a binary cache, a folder or a bucket, for lamina and for Nix to fetch from.

    What is there is not sent again, but signed where it lacks the signature of --key. A NAR goes before what vouches
    for it, and a path after all it refers to, so that what is there can be used at any moment. Signatures that a path
    has are kept. Prints how much was sent; each path as it goes is on stderr.
    """

    def print_path(path: StorePath) -> None:
        if not report.is_silent:
            print_stderr(f"Sent {path}")

    result = lamina.push_paths(
        roots,
        to=to,
        embedded_store=store.folder,
        all_paths=all_paths,
        compression=compression,
        key_files=keys,
        listings=not no_listings,
        jobs=jobs,
        on_path=print_path,
        **store.sources,
    )
    warn(result.warnings, report)
    if report.as_json:
        print_json(
            {
                "sent": list(map(str, result.sent)),
                "signed": list(map(str, result.signed)),
                "present": result.present,
                "size": result.size,
                "warnings": result.warnings,
            }
        )
        return
    sent = f"{count_paths(len(result.sent))} sent ({format_size(result.size)})"
    signed = f", {len(result.signed)} signed anew" if result.signed else ""
    print_stdout(f"{sent}{signed}, {result.present} there already")
