"""``lamina load``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lamina.cli.command import option, verb
from lamina.cli.documents.loads import dump_load
from lamina.cli.image_loading import into_option, load_image
from lamina.cli.image_options import ImageOptions, image_options
from lamina.cli.options import ReportOptions, report_options
from lamina.cli.output import flush, print_stdout
from lamina.cli.reporting import print_json

if TYPE_CHECKING:
    from lamina.inputs.arguments import ImageArguments


@verb(
    "load",
    "lamina load hello -t hello:1 --cmd /bin/hello --into docker",
    "lamina load ./result --into podman",
    "lamina load --spec lamina.toml#app --watch",
)
@into_option()
@option(
    "--watch",
    section="output",
    is_flag=True,
    help="Load the image again whenever a file that it is made of changes: a ROOT that is a link, such as ./result, "
    "the --spec file, or a --file. Ctrl-C ends it.",
)
@image_options("plan", "draft", "write")
@report_options
def command(into: str | None, image: ImageOptions, report: ReportOptions, *, watch: bool) -> None:
    """Load the image of ROOT... into a container engine of this machine.

    The engine pulls the image from lamina, so only the layers that it lacks are made and sent. They go over a loopback
    address with a password that is valid only until then; no name of that address stays. An engine that cannot reach it
    (Docker Desktop, docker without root, another machine) gets the whole image as an archive. Prints the name of the
    image.
    """

    def load(arguments: ImageArguments) -> None:
        """Load the image once, and print the result."""
        loaded = load_image(into, arguments, report)
        if report.as_json:
            print_json(dump_load(loaded))
        else:
            print_stdout(loaded.repo_tag)
        flush()

    if watch:
        from lamina.cli.image_watching import repeat_on_change

        repeat_on_change(image, load, report)
    load(image.make_arguments())
