"""``lamina load``."""

from __future__ import annotations

from lamina.cli.command import verb
from lamina.cli.documents.loads import dump_load
from lamina.cli.image_loading import into_option, load_image
from lamina.cli.image_options import ImageOptions, image_options
from lamina.cli.options import ReportOptions, report_options
from lamina.cli.output import print_stdout
from lamina.cli.reporting import print_json


@verb(
    "load",
    "lamina load hello -t hello:1 --cmd /bin/hello --into docker",
    "lamina load ./result --into podman",
)
@into_option()
@image_options("plan", "draft", "write")
@report_options
def command(into: str | None, image: ImageOptions, report: ReportOptions) -> None:
    """Load the image of ROOT... into a container engine of this machine.

    The engine pulls the image from lamina, so only the layers that it lacks are made and sent. They go over a loopback
    address with a password that is valid only until then; no name of that address stays. An engine that cannot reach it
    (Docker Desktop, docker without root, another machine) gets the whole image as an archive. Prints the name of the
    image.
    """
    loaded = load_image(into, image, report)
    if report.as_json:
        print_json(dump_load(loaded))
    else:
        print_stdout(loaded.repo_tag)
