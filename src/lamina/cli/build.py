"""``lamina build``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import click

import lamina
from lamina.cli.image_options import ImageOptions, image_options
from lamina.cli.options import ReportOptions, argument_option, report_options
from lamina.cli.output import open_stdout, print_stdout
from lamina.cli.reporting import dump_image, open_progress, print_json, show_script_output, warn
from lamina.core.callbacks import ignore
from lamina.errors import Error, InvalidArgument, error_context

if TYPE_CHECKING:
    from lamina.images.image import Image, ImageSettings
    from lamina.inputs.arguments import ImageArguments


@click.command(
    "build",
    short_help="An image file, written whole or not at all.",
    epilog="Example: lamina build /nix/store/…-hello-2.12.1 --cmd /bin/hello -o hello.tar.gz",
)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="FILE|DIR/",
    help="The image file, or the folder of an OCI layout; - is stdout, {name} the name of the table in --spec.",
)
@argument_option("compressor")
@image_options
@report_options
def command(output: str, compressor: str | None, image: ImageOptions, report: ReportOptions) -> None:
    """The image of ROOT... and all they need in FILE, a docker-archive, written whole or not at all.

    FILE's ending chooses the compressor: .gz and .tgz, .zst, none for .tar and the like; .xz and others that are not
    written are errors. Where it ends in / or is a folder, it is an OCI layout: only blobs that are not there are
    written, and the image of that name is replaced last. Prints FILE; with --json the image's ID, name and layers. With
    -o - the result is on stderr.

    --spec FILE without #NAME builds all images of the file, one after another: -o DIR/ is one OCI layout of all, -o
    'DIR/{name}.tar.gz' a file for each. --json then lists the images under "images".
    """
    from lamina.api.images import check_extension
    from lamina.cli.image_outputs import choose_outputs

    images = image.make_all_arguments()
    if compressor is not None:
        for arguments in images.values():
            arguments["compressor"] = compressor
    outputs = choose_outputs(output, images)
    for name, arguments in images.items():
        check_extension(outputs[name], arguments.get("compressor"))
    if len(images) > 1:
        _build_all(images, outputs, report)
        return
    ((name, arguments),) = images.items()
    written, warnings = _build(arguments, outputs[name], report)
    if report.as_json:
        print_json(dump_image(written, warnings), to_stderr=output == "-")
    elif output != "-":
        print_stdout(outputs[name])


def _build_all(images: Mapping[str, ImageArguments], outputs: Mapping[str, str], report: ReportOptions) -> None:
    """Build the images of a spec file, and print each as an IMAGE that other verbs take."""
    from lamina.system.output import is_layout

    documents: list[dict[str, Any]] = []
    warnings: list[str] = []
    claims: dict[tuple[str, str, str | None], str] = {}
    for table, arguments in images.items():
        output = outputs[table]
        with error_context(f"image {table}", Error):
            written, image_warnings = _build(arguments, output, report, partial(_claim_name, claims, table, output))
        warnings += [f"image {table}: {warning}" for warning in image_warnings]
        if report.as_json:
            documents.append({"table": table, "output": output, **dump_image(written, image_warnings)})
        else:
            print_stdout(f"{output}#{written.repo_tag}" if is_layout(output) else output)
    if report.as_json:
        print_json({"images": documents, "warnings": warnings})


def _claim_name(
    claims: dict[tuple[str, str, str | None], str], table: str, output: str, settings: ImageSettings
) -> None:
    """Raise `InvalidArgument` if the image would replace one that was just written to the same layout.

    A tag that comes from the image's ID is not known yet, and differs for every image.
    """
    other = claims.setdefault((output, settings.repository, settings.tag), table)
    if settings.tag is not None and other != table:
        got = f"{settings.repository}:{settings.tag}, as image {other} has it"
        raise InvalidArgument("name", got, "a name or tag of its own in the same layout")


def _build(
    arguments: ImageArguments, output: str, report: ReportOptions, check: Callable[[ImageSettings], object] = ignore
) -> tuple[Image, tuple[str, ...]]:
    """Build one image; return it with its warnings, which are printed too.

    ``check`` is called with the image's settings before anything is written.
    """
    with lamina.stream_layered_image(**arguments) as stream:
        check(stream.draft.settings)
        show_script_output(stream.script_output, report)
        reported = warn(stream.warnings, report)
        with open_progress(report) as progress:
            if output == "-":
                with open_stdout() as out:
                    written = stream.write_to(out, compressor=arguments.get("compressor") or "none", progress=progress)
            else:
                written = stream.build(output, progress=progress)
        warn(stream.warnings[reported:], report)
        return written, stream.warnings
