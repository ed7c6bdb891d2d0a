"""``lamina stream``."""

from __future__ import annotations

import lamina
from lamina.cli.command import option, verb
from lamina.cli.documents.images import dump_written
from lamina.cli.image_options import (
    ImageOptions,
    find_image_option,
    has_several_platforms,
    image_options,
    prepare_images,
)
from lamina.cli.options import ReportOptions, report_options
from lamina.cli.output import open_stdout
from lamina.cli.reporting import explain, open_progress, print_json, print_written_summary, show_script_output, warn
from lamina.errors import InvalidArgument


@verb(
    "stream",
    "lamina stream hello -t hello:1 --cmd /bin/hello | docker load",
    "lamina stream ./result --store https://cache.example.org | podman load",
)
@option("--repo_tag", "--repo-tag", "repo_tag", hidden=True, metavar="NAME:TAG", help="The old name of -t.")
@image_options("plan", "draft", "write", "archive")
@option(
    "--conf",
    section="image",
    completion="file",
    metavar="FILE",
    help="Stream the image of a conf.json that nixpkgs' dockerTools wrote. Only -t, --store and --jobs go with it.",
)
@report_options
def command(conf: str | None, repo_tag: str | None, image: ImageOptions, report: ReportOptions) -> None:
    """Stream the image of ROOT... to stdout, as an uncompressed docker-archive and in one pass.

    The image holds each ROOT and everything it needs. With another --format, each layer goes to a temporary file before
    it is streamed. Several platforms need --format oci. With --json the result is on stderr.
    """
    if conf is not None and report.progress == "auto" and report.style == "lines":
        report = report._replace(progress="nix")  # programs that call nixpkgs' streamer may read its lines
    if conf is None and not find_image_option():  # say so before asking for a pipe
        from lamina.inputs.roots import make_missing_root_error

        raise make_missing_root_error()
    with open_stdout() as out, _stream(conf, repo_tag, image, report) as stream:
        explain(stream.decisions, report)
        show_script_output(stream.script_output, report)
        reported = warn(stream.warnings, report)
        with open_progress(report) as progress:
            written = stream.write_to(out, progress=progress)
        warn(stream.warnings[reported:], report)
    print_written_summary(written, report)
    if report.as_json:
        print_json(dump_written(written, stream.warnings), to_stderr=True)


def _stream(
    conf: str | None, repo_tag: str | None, image: ImageOptions, report: ReportOptions
) -> lamina.Stream | lamina.IndexStream:
    from lamina.api.image_index import check_index_format

    if conf is None:
        if repo_tag is not None:
            raise InvalidArgument("--repo_tag", "it without --conf", "-t, or --name and --tag")
        arguments = image.make_arguments()
        if has_several_platforms(arguments):
            check_index_format(arguments.get("format"))
        return prepare_images(arguments, report)
    clash = find_image_option("reference")
    if clash:
        raise InvalidArgument("conf", f"{clash} as well", "--conf alone, because it describes the whole image")
    return lamina.stream_conf(conf, repo_tag=repo_tag or image.reference, **image.select("store", "jobs"))
