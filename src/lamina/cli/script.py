"""``lamina script``."""

from __future__ import annotations

from lamina.cli.command import verb
from lamina.cli.documents.images import dump_script
from lamina.cli.image_options import ImageOptions, image_options, prepare_stream
from lamina.cli.options import ReportOptions, decision_options, output_option
from lamina.cli.output import print_stdout
from lamina.cli.reporting import explain, open_bars, print_json, show_script_output, warn
from lamina.errors import InvalidArgument


@verb("script", "lamina script hello -t hello:1 -o stream-hello && ./stream-hello | docker load")
@output_option("FILE", "The script to write.", required=True)
@image_options("plan", "draft")
@decision_options
def command(output: str, image: ImageOptions, report: ReportOptions) -> None:
    """Write an executable script that streams the image of ROOT... to stdout each time it is run.

    The script holds the plan, the config and the finished customisation layer, and takes -t NAME:TAG. It needs this
    Python and the store paths, but not lamina. Prints FILE.
    """
    from lamina.system.output import parse_output_file

    if output == "-":
        raise InvalidArgument("output", output, "the name of a file")
    parse_output_file(output)
    with prepare_stream(image.make_arguments(), report) as stream:
        explain(stream.decisions, report)
        show_script_output(stream.script_output, report)
        warn(stream.warnings, report)
        with open_bars(report) as progress:
            stream.script(output, progress=progress)
    if report.as_json:
        print_json(dump_script(output, len(stream.draft.layers), stream.warnings))
    else:
        print_stdout(output)
