"""``lamina plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import lamina
from lamina.cli.image_options import ImageOptions, image_options
from lamina.cli.options import ReportOptions, report_options
from lamina.cli.output import print_stdout
from lamina.cli.reporting import print_json, warn
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.layering import LayerPlan


@click.command(
    "plan",
    short_help="Which store path goes to which layer; builds nothing.",
    epilog="Example: lamina plan /nix/store/…-hello-2.12.1 --max-layers 20 --layering popularity",
)
@image_options
@report_options
def command(image: ImageOptions, report: ReportOptions) -> None:
    """Which store path of ROOT... and all they need goes to which layer, how large it is, and why.

    Opens no store path and runs no script: the graph is enough, so that --store graph.json plans paths which are not
    on this machine. So it does not see what a script or --with would bring along, but it does count the layers of a
    base image. The customisation layer, the last, is not among those listed.
    """
    planned = lamina.plan_layered_image(**image.make_arguments())
    warn(planned.warnings, report)
    if report.as_json:
        print_json({"layers": [_dump_layer(layer) for layer in planned.layers], "warnings": list(planned.warnings)})
        return
    for number, layer in enumerate(planned.layers, 1):
        print_stdout(f"layer {number}: {format_size(layer.nar_size)}, {layer.reason}")
        for path in layer.paths:
            print_stdout(f"  {path}")
    total = sum(layer.nar_size for layer in planned.layers)
    paths = sum(len(layer.paths) for layer in planned.layers)
    print_stdout(f"{len(planned.layers)} layers, {paths} store paths, {format_size(total)}")


def _dump_layer(layer: LayerPlan) -> dict[str, Any]:
    return {"paths": list(map(str, layer.paths)), "nar_size": layer.nar_size, "reason": layer.reason}
