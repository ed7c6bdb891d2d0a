"""``lamina script``."""

from __future__ import annotations

import click

import lamina
from lamina.cli.image_options import ImageOptions, image_options
from lamina.cli.options import ReportOptions, report_options
from lamina.cli.output import print_stdout
from lamina.cli.reporting import print_json, show_script_output, warn
from lamina.errors import InvalidArgument


@click.command(
    "script",
    short_help="An executable script that streams the image when it is run.",
    epilog="Example: lamina script /nix/store/…-hello-2.12.1 -o stream-hello && ./stream-hello | docker load",
)
@click.option("-o", "--output", required=True, metavar="FILE", help="Where the script goes.")
@image_options
@report_options
def command(output: str, image: ImageOptions, report: ReportOptions) -> None:
    """An executable FILE that streams the image of ROOT... to stdout when it is run.

    It carries the plan, the config and the finished customisation layer, and runs wherever this Python and the store
    paths are; it takes -t NAME:TAG. Prints FILE.
    """
    if output == "-" or output.endswith("/"):
        raise InvalidArgument("output", output, "the name of a file")
    with lamina.stream_layered_image(**image.make_arguments()) as stream:
        show_script_output(stream.script_output, report)
        warn(stream.warnings, report)
        stream.script(output)
    if report.as_json:
        print_json({"script": output, "layers": len(stream.draft.layers), "warnings": list(stream.warnings)})
    else:
        print_stdout(output)
