"""Tables of planned layers, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lamina.cli.output import print_stdout
from lamina.cli.reporting import format_count
from lamina.cli.tables import Column, print_table
from lamina.core.labels import format_rate, summarize_layer_paths
from lamina.messages.sizes import format_size

if TYPE_CHECKING:
    from lamina.api.plan_totals import RegistryTotals
    from lamina.builder.prepare import PlanResult
    from lamina.layering import LayerPlan


def print_plan(planned: PlanResult, *, full: bool) -> None:
    """Print the layers of an image, and how many there are; ``full`` lists every store path."""
    _print_layers(planned.layers, full=full)
    total = sum(layer.nar_size for layer in planned.layers)
    paths = sum(len(layer.paths) for layer in planned.layers)
    layers = format_count(len(planned.layers), "layer")
    print_stdout(f"{layers}, {format_count(paths, 'store path')}, {format_size(total)}")


def print_totals(totals: RegistryTotals, image_count: int) -> None:
    """Print what a registry stores for all images, and what it would store if they were planned otherwise."""
    columns = [
        Column(f"ALL {image_count} IMAGES", is_flexible=True),
        Column("LAYERS", is_number=True),
        Column("IN A REGISTRY", is_number=True),
        Column("PER UPDATE", is_number=True),
    ]
    rows = {
        "as planned": totals.planned,
        "each alone, by cost": totals.alone,
        "together, by shared": totals.shared,
    }
    print_table(
        columns,
        [
            (name, str(total.layer_count), format_size(total.size), format_size(total.update_size))
            for name, total in rows.items()
        ],
    )
    saved = totals.planned.size - totals.shared.size
    if saved > 0:
        share = 100 * saved / totals.planned.size
        print_stdout(f'layering = "shared" in each table would save {format_size(saved)} in a registry ({share:.0f} %)')


def _print_layers(layers: Sequence[LayerPlan], *, full: bool) -> None:
    has_rates = any(layer.rate is not None for layer in layers)
    columns = [
        Column("LAYER", is_number=True),
        Column("SIZE", is_number=True),
        *([Column("RATE", is_number=True)] if has_rates else []),
        Column("PATH" if full else "PATHS", is_flexible=True),
        Column("WHY", is_flexible=True, style="dim"),
    ]
    list_paths = _list_paths if full else _summarize_paths
    rows = (
        (str(number), size, *([format_rate(layer.rate)] if has_rates else []), paths, layer.reason)
        for number, layer in enumerate(layers, 1)
        for size, paths in list_paths(layer)
    )
    print_table(columns, rows, is_whole=full)


def _summarize_paths(layer: LayerPlan) -> Iterator[tuple[str, str]]:
    sizes = [size for _, size in layer.nars]
    yield format_size(layer.nar_size), summarize_layer_paths(layer.paths, sizes)


def _list_paths(layer: LayerPlan) -> Iterator[tuple[str, str]]:
    for path, (_, size) in zip(layer.paths, layer.nars, strict=True):
        yield format_size(size), str(path)
