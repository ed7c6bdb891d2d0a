"""``lamina plan``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import lamina
from lamina.cli.command import option, verb
from lamina.cli.documents.images import dump_plan
from lamina.cli.image_options import ImageOptions, image_options
from lamina.cli.options import ReportOptions, decision_options
from lamina.cli.output import print_stdout
from lamina.cli.reporting import explain, format_count, print_json, warn
from lamina.cli.tables import Column, print_table
from lamina.core.labels import summarize_layer_paths
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.layering import LayerPlan


@verb(
    "plan",
    "lamina plan hello",
    "lamina plan hello --max-layers 20 --layering popularity",
)
@image_options("plan")
@option("--full", section="output", is_flag=True, help="List every store path of each layer, whole, with its own size.")
@decision_options
def command(image: ImageOptions, report: ReportOptions, *, full: bool) -> None:
    """Show which store path of the image of ROOT... goes to which layer, how large it is, and why.

    Nothing is built: no store path is read and no script runs, so a closure graph in --store is enough. What scripts
    and ready-made contents would add is not seen, and the customisation layer is not listed. A layer of several paths
    is listed by the name of the largest and the number of the others.
    """
    planned = lamina.plan_layered_image(**image.make_arguments())
    explain(planned.decisions, report)
    warn(planned.warnings, report)
    if report.as_json:
        print_json(dump_plan(planned))
        return
    _print_layers(planned.layers, full=full)
    total = sum(layer.nar_size for layer in planned.layers)
    paths = sum(len(layer.paths) for layer in planned.layers)
    layers = format_count(len(planned.layers), "layer")
    print_stdout(f"{layers}, {format_count(paths, 'store path')}, {format_size(total)}")


def _print_layers(layers: Sequence[LayerPlan], *, full: bool) -> None:
    columns = [
        Column("LAYER", is_number=True),
        Column("SIZE", is_number=True),
        Column("PATH" if full else "PATHS", is_flexible=True),
        Column("WHY", is_flexible=True, style="dim"),
    ]
    list_rows = _list_paths if full else _list_layer
    rows = (row for number, layer in enumerate(layers, 1) for row in list_rows(str(number), layer))
    print_table(columns, rows, is_whole=full)


def _list_layer(number: str, layer: LayerPlan) -> Iterator[Sequence[str]]:
    sizes = [size for _, size in layer.nars]
    yield number, format_size(layer.nar_size), summarize_layer_paths(layer.paths, sizes), layer.reason


def _list_paths(number: str, layer: LayerPlan) -> Iterator[Sequence[str]]:
    for path, (_, size) in zip(layer.paths, layer.nars, strict=True):
        yield number, format_size(size), str(path), layer.reason
