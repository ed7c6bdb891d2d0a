"""``lamina build``."""

from __future__ import annotations

import click

import lamina
from lamina.cli.image_options import ImageOptions, image_options
from lamina.cli.options import ReportOptions, argument_option, report_options
from lamina.cli.output import open_stdout, print_stdout
from lamina.cli.reporting import dump_image, open_progress, print_json, show_script_output, warn


@click.command(
    "build",
    short_help="An image file, written whole or not at all.",
    epilog="Example: lamina build /nix/store/…-hello-2.12.1 --cmd /bin/hello -o hello.tar.gz",
)
@click.option("-o", "--output", required=True, metavar="FILE", help="Where the image goes; - is stdout.")
@argument_option("compressor")
@image_options
@report_options
def command(output: str, compressor: str | None, image: ImageOptions, report: ReportOptions) -> None:
    """The image of ROOT... and all they need in FILE, a docker-archive, written whole or not at all.

    FILE's ending chooses the compressor: .gz and .tgz, .zst, none for .tar and the like; .xz and others that are not
    written are errors. Where it ends in / or is a folder, it is an OCI layout: only blobs that are not there are
    written, and the image of that name is replaced last. Prints FILE; with --json the image's ID, name and layers. With
    -o - the result is on stderr.
    """
    from lamina.api.images import check_extension

    arguments = image.make_arguments()
    if compressor is not None:
        arguments["compressor"] = compressor
    check_extension(output, arguments.get("compressor"))
    with lamina.stream_layered_image(**arguments) as stream:
        show_script_output(stream.script_output, report)
        reported = warn(stream.warnings, report)
        with open_progress(report) as progress:
            if output == "-":
                with open_stdout() as out:
                    written = stream.write_to(out, compressor=arguments.get("compressor") or "none", progress=progress)
            else:
                written = stream.build(output, progress=progress)
        warn(stream.warnings[reported:], report)
    if report.as_json:
        print_json(dump_image(written, stream.warnings), to_stderr=output == "-")
    elif output != "-":
        print_stdout(output)
