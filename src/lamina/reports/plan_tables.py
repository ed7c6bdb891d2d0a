"""The table of a plan's layers, which says the same as its treemap."""

from __future__ import annotations

from collections.abc import Sequence

from lamina.core.labels import format_rate, summarize_layer_paths
from lamina.layering import LayerPlan
from lamina.messages.sizes import format_size
from lamina.reports.bars import draw_bar
from lamina.reports.markup import Markup, element


def draw_layer_table(strategy: str, layers: Sequence[LayerPlan], plan: int) -> Markup:
    """Return the table of the layers of a plan, from the lowest up.

    Args:
        strategy: the name of the plan's strategy.
        layers: the layers.
        plan: the index of the plan on the page.
    """
    largest = max((layer.nar_size for layer in layers), default=0)
    has_rates = any(layer.rate is not None for layer in layers)
    heads = [("Layer", "number"), ("Size", "number"), ("", "bar")]
    heads += [("Updates", "number")] if has_rates else []
    heads += [("Store paths", ""), ("Why", "why"), ("Change", "state")]
    row = [
        element("th", title, scope="col", class_=kind or None) if title else element("td", class_=kind)
        for title, kind in heads
    ]
    rows = [_draw_row(index, layer, largest, has_rates=has_rates) for index, layer in enumerate(layers)]
    table = element(
        "table",
        element("caption", f"Planned by {strategy}"),
        element("thead", element("tr", row)),
        element("tbody", rows),
        class_="layers",
        data_plan=plan,
    )
    return element(
        "div",
        table,
        class_="scroller",
        role="region",
        tabindex=0,
        aria_label=f"Table of the layers planned by {strategy}",
    )


def _draw_row(index: int, layer: LayerPlan, largest: int, *, has_rates: bool) -> Markup:
    summary = summarize_layer_paths(layer.paths, [size for _, size in layer.nars])
    paths: Markup | str = summary
    if len(layer.paths) > 1:
        paths = element("details", element("summary", summary), element("ul", class_="members"))
    return element(
        "tr",
        element("th", str(index + 1), scope="row", class_="number"),
        element("td", format_size(layer.nar_size), class_="number"),
        element("td", draw_bar([("kept", layer.nar_size)], largest), class_="bar"),
        element("td", format_rate(layer.rate), class_="number") if has_rates else "",
        element("td", paths, class_="paths"),
        element("td", layer.reason, class_="why"),
        element("td", class_="state"),
        data_layer=index,
    )
