"""``lamina export``."""

from __future__ import annotations

import click

import lamina
from lamina.cli.options import ReaderOptions, ReportOptions, argument_option, reader_options, report_options
from lamina.cli.output import open_output, print_stdout
from lamina.cli.reporting import open_progress, print_json, print_summary
from lamina.messages.redaction import join_names


@click.command(
    "export",
    short_help="The root file system of an image as a tar.",
    epilog="Example: lamina export hello.tar.gz -o root.tar",
)
@click.argument("image", metavar="IMAGE[#NAME]")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where the tar goes; - is stdout.")
@click.option("--image", "name", metavar="NAME:TAG", help="Which one, by name, tag or ID, if IMAGE holds several.")
@argument_option("compressor")
@reader_options
@report_options
def command(
    image: str, output: str, name: str | None, compressor: str | None, reader: ReaderOptions, report: ReportOptions
) -> None:
    """The root file system that the layers of IMAGE make, as a tar in FILE, written whole or not at all.

    Modes, owners, dates, extended attributes, hard links and devices are kept; nothing runs and nothing is unpacked.
    Prints FILE; with --json the image. With -o - the result is on stderr.
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
    print_summary(f"{join_names(exported.repo_tags, 'no name')}: {len(exported.layers)} layers, {exported.id}", report)
    if report.as_json:
        document = {"id": exported.id, "repo_tags": list(exported.repo_tags), "platform": exported.platform}
        print_json(document, to_stderr=output == "-")
    elif output != "-":
        print_stdout(output)
