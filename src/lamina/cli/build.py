"""``lamina build``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from lamina.cli.command import verb
from lamina.cli.documents.images import BuildDocument, dump_build, dump_written
from lamina.cli.image_options import ImageOptions, has_several_platforms, image_options, prepare_images
from lamina.cli.options import ReportOptions, argument_option, output_option, report_options
from lamina.cli.output import open_stdout, print_stdout
from lamina.cli.reporting import explain, open_progress, print_json, print_written_summary, show_script_output, warn
from lamina.core.callbacks import ignore
from lamina.errors import Error, InvalidArgument, error_context

if TYPE_CHECKING:
    from lamina.images.image import BuildResult, ImageSettings
    from lamina.images.written_index import IndexBuildResult
    from lamina.inputs.arguments import ImageArguments

# The output, name and tag of images, and the table of the image that has them.
_Claims = dict[tuple[str, str, str | None], str]


@verb(
    "build",
    "lamina build hello -t hello:1 --cmd /bin/hello -o hello.tar.gz",
    "lamina build --spec lamina.toml -o images/",
)
@output_option(
    "FILE|DIR/",
    "The image file, or the folder of an OCI layout. - is stdout, {name} is the name of the table in --spec.",
    required=True,
)
@argument_option("compressor")
@image_options("plan", "draft", "write", "archive")
@report_options
def command(output: str, compressor: str | None, image: ImageOptions, report: ReportOptions) -> None:
    """Build the image of ROOT... and write it to a file, whole or not at all, or into an OCI layout.

    FILE is a docker-archive, unless --format says otherwise. Its extension chooses the compression: .gz, .tgz and .zst;
    none for .tar. A folder, or a name that ends in /, is an OCI layout: only the blobs that it lacks are written.
    Several --platform give an image for each, and an index that lists them, in a layout or with --format oci.
    --spec FILE without #NAME builds all images of the file: with -o DIR/ into one layout, with -o 'DIR/{name}.tar.gz'
    each into a file. Prints FILE.
    """
    from lamina.api.image_index import check_index_format
    from lamina.api.outputs import check_extension, check_format
    from lamina.cli.image_outputs import choose_outputs
    from lamina.system.output import is_layout

    images = image.make_all_arguments()
    if compressor is not None:
        for arguments in images.values():
            arguments["compressor"] = compressor
    outputs = choose_outputs(output, images)
    for name, arguments in images.items():
        check_extension(outputs[name], arguments.get("compressor"))
        check_format(outputs[name], arguments.get("format"))
        with error_context(f"image {name}", Error) if len(images) > 1 else contextlib.nullcontext():
            if has_several_platforms(arguments) and (outputs[name] == "-" or not is_layout(outputs[name])):
                check_index_format(arguments.get("format"))
    if len(images) > 1:
        _build_all(images, outputs, report)
        return
    ((name, arguments),) = images.items()
    written, warnings = _build(arguments, outputs[name], report)
    if report.as_json:
        print_json(dump_written(written, warnings, name or None), to_stderr=output == "-")
    elif output != "-":
        print_stdout(outputs[name])


def _build_all(images: Mapping[str, ImageArguments], outputs: Mapping[str, str], report: ReportOptions) -> None:
    """Build the images of a spec file, and print each in the form of an IMAGE that other verbs accept."""
    from lamina.system.output import is_layout

    documents: list[BuildDocument] = []
    claims = _check_images(images, outputs)
    for table, arguments in images.items():
        output = outputs[table]
        with error_context(f"image {table}", Error):
            written, warnings = _build(arguments, output, report, partial(_claim_chosen_name, claims, table, output))
        if report.as_json:
            documents.append(dump_written(written, warnings, table))
        else:
            print_stdout(f"{output}#{written.repo_tag}" if is_layout(output) else output)
    if report.as_json:
        print_json(dump_build(documents))


def _check_images(images: Mapping[str, ImageArguments], outputs: Mapping[str, str]) -> _Claims:
    """Check the arguments of all images, so that nothing is written if one is wrong; return the names that they give.

    Raises what `Spec.parse` and `pin_base_image` raise, and `InvalidArgument` if two images have one name and tag in
    the same layout.
    """
    from lamina.inputs.pinned_base import pin_base_image
    from lamina.inputs.platforms import expand_platforms
    from lamina.inputs.spec import Spec

    claims: _Claims = {}
    for table, arguments in images.items():
        with error_context(f"image {table}", Error):
            specs = [pin_base_image(Spec.parse(expanded), []) for expanded in expand_platforms(arguments).values()]
            # An image without a name gets that of its first ROOT: the same one for the same ROOT.
            if name := specs[0].name or next(iter(specs[0].contents), ""):
                _claim_name(claims, table, (outputs[table], name, specs[0].tag))
    return claims


def _claim_chosen_name(claims: _Claims, table: str, output: str, settings: ImageSettings) -> None:
    """Claim the name that an image got, which the name of its first ROOT may have given."""
    _claim_name(claims, table, (output, settings.repository, settings.tag))


def _claim_name(claims: _Claims, table: str, key: tuple[str, str, str | None]) -> None:
    """Raise `InvalidArgument` if an image has the name and tag of another one in the same layout, and replaces it.

    A tag that comes from the image's ID is not known yet, and differs for every image.
    """
    other = claims.setdefault(key, table)
    if key[-1] is not None and other != table:
        got = f"the name and tag of image {other}"
        raise InvalidArgument("name", got, "a name or tag of its own in the same layout")


def _build(
    arguments: ImageArguments, output: str, report: ReportOptions, check: Callable[[ImageSettings], object] = ignore
) -> tuple[BuildResult | IndexBuildResult, tuple[str, ...]]:
    """Build one image, or one for each platform; return it with the warnings, which are printed too.

    ``check`` is called with the image's settings before anything is written.
    """
    written: BuildResult | IndexBuildResult
    with prepare_images(arguments, report) as stream:
        check(stream.settings)
        explain(stream.decisions, report)
        show_script_output(stream.script_output, report)
        reported = warn(stream.warnings, report)
        with open_progress(report) as progress:
            if output == "-":
                with open_stdout() as out:
                    written = stream.write_to(out, compressor=arguments.get("compressor") or "none", progress=progress)
            else:
                written = stream.build(output, progress=progress)
        warn(stream.warnings[reported:], report)
        print_written_summary(written, report)
        return written, stream.warnings
