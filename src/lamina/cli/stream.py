"""``lamina stream``."""

from __future__ import annotations

from typing import Any

import click

from lamina.api import stream_layered_image
from lamina.cli.options import graph_options, image_arguments
from lamina.cli.output import stdout
from lamina.cli.talk import image_document, print_json, progress, show_output, warn


@click.command(
    "stream",
    short_help="The image as a docker-archive on stdout, in one pass.",
    epilog='Example: lamina stream /nix/store/…-hello-2.12.1 --name hello --tag 1 --cmd "/bin/hello -t" | docker load',
)
@graph_options
def command(**flags: Any) -> None:
    """The image of ROOT... and all they need, as an uncompressed docker-archive on stdout, in one pass.

    A ROOT is a store path, a folder inside one, a link to one such as ./result, or a package name that fits one path
    of the store. With --json the result is on stderr.
    """
    with stdout() as out:
        stream = stream_layered_image(**image_arguments(flags))
        show_output(stream.script_output, flags)
        warn(stream.warnings, flags)
        with progress(flags) as watcher:
            image = stream.write_to(out, progress=watcher)
    if flags["as_json"]:
        print_json(image_document(image, stream.warnings), aside=True)
