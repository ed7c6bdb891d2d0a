"""``lamina stream``."""

from __future__ import annotations

import click

import lamina
from lamina.cli.image_options import ImageOptions, find_image_option, image_options
from lamina.cli.options import ReportOptions, report_options
from lamina.cli.output import open_stdout
from lamina.cli.reporting import dump_image, open_progress, print_json, show_script_output, warn
from lamina.errors import InvalidArgument


@click.command(
    "stream",
    short_help="The image as a docker-archive on stdout, in one pass.",
    epilog='Example: lamina stream /nix/store/…-hello-2.12.1 --name hello --tag 1 --cmd "/bin/hello -t" | docker load',
)
@click.option("--conf", metavar="FILE", help="Stream the image of a conf.json that nixpkgs' dockerTools wrote.")
@click.option("-t", "--repo_tag", "--repo-tag", metavar="NAME:TAG", help="Another name for it, with --conf.")
@image_options
@report_options
def command(conf: str | None, repo_tag: str | None, image: ImageOptions, report: ReportOptions) -> None:
    """The image of ROOT... and all they need, as an uncompressed docker-archive on stdout, in one pass.

    A ROOT is a store path, a folder inside one, a link to one such as ./result, a package name that fits one path of
    the store, or, where Nix is installed, what it is to build first: nixpkgs#hello, ./default.nix. With --json the
    result is on stderr.
    """
    with open_stdout() as out, _stream(conf, repo_tag, image) as stream:
        show_script_output(stream.script_output, report)
        reported = warn(stream.warnings, report)
        with open_progress(report) as progress:
            written = stream.write_to(out, progress=progress)
        warn(stream.warnings[reported:], report)
    if report.as_json:
        print_json(dump_image(written, stream.warnings), to_stderr=True)


def _stream(conf: str | None, repo_tag: str | None, image: ImageOptions) -> lamina.Stream:
    if conf is None:
        if repo_tag is not None:
            raise InvalidArgument("repo tag", "-t without --conf", "--name and --tag")
        return lamina.stream_layered_image(**image.make_arguments())
    option = find_image_option()
    if option:
        raise InvalidArgument("conf", f"{option} as well", "--conf alone, for it says all of the image")
    return lamina.stream_conf(conf, repo_tag=repo_tag, **image.select("store", "jobs"))
