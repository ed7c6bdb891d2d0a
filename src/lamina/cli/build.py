"""``lamina build``."""

from __future__ import annotations

from typing import Any

import click

import lamina
from lamina.cli.options import COMPRESSORS, collect_image_arguments, image_options
from lamina.cli.output import open_stdout, print_stdout
from lamina.cli.reporting import dump_image, open_progress, print_json, show_script_output, warn


@click.command(
    "build",
    short_help="An image file, written whole or not at all.",
    epilog="Example: lamina build /nix/store/…-hello-2.12.1 --cmd /bin/hello -o hello.tar.gz",
)
@click.option("-o", "--output", required=True, metavar="FILE", help="Where the image goes; - is stdout.")
@click.option("--compressor", type=click.Choice(COMPRESSORS), help="[default: as FILE's ending says, else none]")
@image_options
def command(output: str, **flags: Any) -> None:
    """The image of ROOT... and all they need in FILE, a docker-archive, written whole or not at all.

    FILE's ending chooses the compressor: .gz and .tgz, .zst, none for .tar and the like; .xz and others that are not
    written are errors. Where it ends in / or is a folder, it is an OCI layout: only blobs that are not there are
    written, and the image of that name is replaced last. Prints FILE; with --json the image's ID, name and layers. With
    -o - the result is on stderr.
    """
    from lamina.api.images import check_extension

    arguments = collect_image_arguments(flags)
    check_extension(output, arguments.get("compressor"))
    stream = lamina.stream_layered_image(**arguments)
    show_script_output(stream.script_output, flags)
    reported = warn(stream.warnings, flags)
    with open_progress(flags) as progress:
        if output == "-":
            with open_stdout() as out:
                image = stream.write_to(out, compressor=arguments.get("compressor") or "none", progress=progress)
        else:
            image = stream.build(output, progress=progress)
    warn(stream.warnings[reported:], flags)
    if flags["as_json"]:
        print_json(dump_image(image, stream.warnings), to_stderr=output == "-")
    elif output != "-":
        print_stdout(output)
