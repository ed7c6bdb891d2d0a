"""``lamina export``."""

from __future__ import annotations

from typing import Any

import click

import lamina
from lamina.cli.options import COMPRESSORS, image_reader_options, output_options, pop_image_reader_arguments
from lamina.cli.output import open_stdout, print_stdout
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
@click.option("--compressor", type=click.Choice(COMPRESSORS), help="[default: as FILE's ending says, else none]")
@image_reader_options
@output_options
def command(image: str, output: str, name: str | None, compressor: str | None, **flags: Any) -> None:
    """The root file system that the layers of IMAGE make, as a tar in FILE, written whole or not at all.

    Modes, owners, dates, extended attributes, hard links and devices are kept; nothing runs and nothing is unpacked.
    Prints FILE; with --json the image. With -o - the result is on stderr.
    """
    arguments = {"name": name, "compressor": compressor, **pop_image_reader_arguments(flags)}
    with open_progress(flags) as progress:
        if output == "-":
            with open_stdout() as out:
                exported = lamina.export_image(image, output=out, progress=progress, **arguments)
        else:
            exported = lamina.export_image(image, output=output, progress=progress, **arguments)
    print_summary(f"{join_names(exported.repo_tags, 'no name')}: {len(exported.layers)} layers, {exported.id}", flags)
    if flags["as_json"]:
        document = {"id": exported.id, "repo_tags": list(exported.repo_tags), "platform": exported.platform}
        print_json(document, to_stderr=output == "-")
    elif output != "-":
        print_stdout(output)
