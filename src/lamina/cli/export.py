"""``lamina export``."""

from __future__ import annotations

import lamina
from lamina.cli.command import option, verb
from lamina.cli.documents.images import dump_export
from lamina.cli.options import (
    ReaderOptions,
    ReportOptions,
    argument_option,
    image_argument,
    output_option,
    progress_options,
    reader_options,
)
from lamina.cli.output import open_output, print_stdout
from lamina.cli.reporting import format_count, open_progress, print_json, print_summary
from lamina.core.labels import shorten_digest
from lamina.messages.redaction import join_names


@verb("export", "lamina export hello.tar.gz -o root.tar")
@image_argument("image", "IMAGE[#NAME]")
@output_option("FILE", "The tar to write; - is stdout.", required=True)
@option(
    "--image",
    "name",
    section="image",
    metavar="NAME:TAG",
    help="Choose one of several images in IMAGE, by its name, tag or ID.",
)
@argument_option("compressor")
@reader_options
@progress_options
def command(
    image: str, output: str, name: str | None, compressor: str | None, reader: ReaderOptions, report: ReportOptions
) -> None:
    """Write the root file system that the layers of IMAGE make as a tar, whole or not at all.

    Modes, owners, dates, extended attributes, hard links and devices are kept. Nothing is run or unpacked. Prints FILE;
    with -o - the result is on stderr.
    """
    with open_progress(report) as progress, open_output(output) as target:
        exported = lamina.export_image(
            image,
            name=name,
            output=target,
            compressor=compressor,
            progress=progress,
            **reader._asdict(),
        )
    print_summary(
        (
            join_names(exported.repo_tags, "no name"),
            shorten_digest(exported.digest),
            format_count(len(exported.layers), "layer"),
        ),
        report,
    )
    if report.as_json:
        print_json(dump_export(output, exported), to_stderr=output == "-")
    elif output != "-":
        print_stdout(output)
