"""The page of a plan: a treemap of its layers, the references of its store paths, and what a change re-sends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lamina.core.closure import Closure
from lamina.layering import LayerPlan
from lamina.messages.sizes import format_size
from lamina.reports.changes import find_changed, find_effects
from lamina.reports.graph_columns import arrange
from lamina.reports.markup import Markup, data_element, element
from lamina.reports.page import make_page
from lamina.reports.plan_tables import draw_layer_table
from lamina.reports.treemap_figure import draw_treemap

_KEYS = "Left and right arrow keys move between store paths, up and down between layers; Enter chooses a path."
_STYLES = ("page.css", "plan.css")
_SCRIPTS = ("sizes.js", "model.js", "treemap.js", "path_list.js", "graph.js", "layer_table.js", "plan.js")


@dataclass(frozen=True, slots=True)
class DrawnPlan:
    """A plan on a page.

    Attributes:
        strategy: the name of the strategy that made it.
        layers: its layers of store paths, from the lowest up.
    """

    strategy: str
    layers: Sequence[LayerPlan]


def make_plan_page(name: str, closure: Closure, plans: Sequence[DrawnPlan]) -> bytes:
    """Return the page of one plan of an image, or of several plans side by side.

    Args:
        name: the name of the image.
        closure: the store paths of the image; each layer has paths of these.
        plans: the plans, the first of which is that of the image and the others are compared with it.

    Returns:
        The page in UTF-8.

    """
    layers = [[[closure.numbers[path] for path in layer.paths] for layer in plan.layers] for plan in plans]
    names = [info.path.name for info in closure]
    sizes = [info.nar_size for info in closure]
    figures = [
        _draw_figure(plan, draw_treemap(f"Layers planned by {plan.strategy}", members, names, sizes, index), index)
        for index, (plan, members) in enumerate(zip(plans, layers, strict=True))
    ]
    tables = [draw_layer_table(plan.strategy, plan.layers, index) for index, plan in enumerate(plans)]
    body = (
        _draw_header(name, closure, plans),
        element("main", _draw_path_list(plans), _draw_views(figures, tables), class_="columns"),
        data_element("data", _collect_data(closure, plans, layers)),
    )
    return make_page(f"Layers of {name}", body, styles=_STYLES, scripts=_SCRIPTS)


def _collect_data(closure: Closure, plans: Sequence[DrawnPlan], layers: Sequence[list[list[int]]]) -> dict[str, Any]:
    """Return what the scripts of the page work on; path numbers are those of the closure."""
    changed = find_changed(closure)
    sizes = [info.nar_size for info in closure]
    effects = [find_effects(changed, members, sizes) for members in layers]
    return {
        "paths": [str(info.path) for info in closure],
        "names": [info.path.name for info in closure],
        "sizes": sizes,
        "references": [sorted(references) for references in closure.references],
        "columns": arrange(closure),
        "changed": [mask.bit_count() for mask in changed],
        "plans": [
            {"strategy": plan.strategy, "layers": members, "sent": [effect.size for effect in found]}
            for plan, members, found in zip(plans, layers, effects, strict=True)
        ],
    }


def _draw_header(name: str, closure: Closure, plans: Sequence[DrawnPlan]) -> Markup:
    first, *others = plans
    facts = [
        ("Layers", str(len(first.layers))),
        ("Store paths", f"{len(closure):,}"),
        ("Size", format_size(sum(info.nar_size for info in closure))),
        ("Strategy", first.strategy),
        *(("Compared with", f"{other.strategy}, {_count(len(other.layers), 'layer')}") for other in others),
    ]
    return element(
        "header",
        element("div", element("p", "Layer plan", class_="kind"), element("h1", name)),
        element("dl", [element("div", element("dt", key), element("dd", value)) for key, value in facts]),
        class_="page",
    )


def _draw_path_list(plans: Sequence[DrawnPlan]) -> Markup:
    """Return the section with the list of store paths, whose rows a script adds."""
    several = len(plans) > 1
    heads = [("name", "Store path", None), ("size", "Size", "number")]
    heads += [(f"sent{index}", plan.strategy if several else "Re-sends", "number") for index, plan in enumerate(plans)]
    row = [
        element("th", element("button", title, type="button", data_sort=key), scope="col", class_=kind)
        for key, title, kind in heads
    ]
    group = element("th", "Re-sends", scope="colgroup", colspan=len(plans), class_="number")
    groups = element("tr", element("td", colspan=2), group) if several else ""
    columns = element("colgroup", element("col", class_="name"), [element("col")] * (len(heads) - 1))
    return element(
        "section",
        element("h2", "Store paths", id="paths-title"),
        element(
            "div",
            element("label", "Find a store path", for_="search"),
            element("input", id="search", type="search", autocomplete="off", spellcheck="false"),
            class_="search",
        ),
        element("p", id="count", class_="note", role="status"),
        element(
            "div",
            element("table", columns, element("thead", groups, element("tr", row)), element("tbody", id="path-rows")),
            class_="scroller",
        ),
        element("button", "Show more", id="more", type="button", hidden=True),
        id="paths",
        aria_labelledby="paths-title",
        class_="scripted",
    )


def _draw_views(figures: Sequence[Markup], tables: Sequence[Markup]) -> Markup:
    return element(
        "div",
        _draw_effect(is_compared=len(figures) > 1),
        element(
            "section",
            element("h2", "Layers by size", id="treemap-title"),
            element("div", figures, class_="figures"),
            element("p", id="hover", class_="note", aria_hidden="true"),
            element("ul", _draw_legend(), class_="legend"),
            element("p", _KEYS, id="keys", class_="note scripted"),
            aria_labelledby="treemap-title",
        ),
        _draw_graph(),
        element("section", element("h2", "Layers", id="layers-title"), tables, aria_labelledby="layers-title"),
        class_="views",
    )


def _draw_effect(*, is_compared: bool) -> Markup:
    return element(
        "section",
        element("div", element("p", id="sentence", aria_live="polite"), element("p", id="full-path", class_="note")),
        element("button", "Clear", id="clear", type="button", hidden=True),
        id="effect",
        aria_label="Effect of a change",
        class_="scripted compared" if is_compared else "scripted",
    )


def _draw_legend() -> Iterator[Markup]:
    for kind, text in (("changed", "changes too"), ("sent", "re-sent in the same layer"), ("kept", "not re-sent")):
        yield element("li", element("span", class_=f"swatch {kind}"), text)


def _draw_graph() -> Markup:
    """Return the section of the references, which a script draws."""
    parts = [
        element(
            "div",
            element("h3", title, id=f"{key}-title"),
            element("ul", id=key, aria_labelledby=f"{key}-title"),
            element("button", "Show all", type="button", id=f"{key}-more", hidden=True),
        )
        for key, title in (("needs", "Needs"), ("needed-by", "Needed by"))
    ]
    note = "Each dot is a store path, and a line leads from a path to one further right that refers to it. "
    return element(
        "section",
        element("h2", "References", id="graph-title"),
        element("p", note, "A change spreads to the right.", class_="note"),
        element("canvas", id="graph", role="img", aria_label="References between the store paths"),
        element("div", parts, class_="neighbours"),
        aria_labelledby="graph-title",
        class_="scripted",
    )


def _draw_figure(plan: DrawnPlan, treemap: Markup, index: int) -> Markup:
    size = format_size(sum(layer.nar_size for layer in plan.layers))
    caption = f"{plan.strategy}: {_count(len(plan.layers), 'layer')}, {size}"
    outcome = element("span", id=f"outcome{index}", class_="outcome")
    content = treemap if plan.layers else element("p", "No store path is in a layer.", class_="note")
    return element("figure", element("figcaption", element("span", caption), outcome), content)


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
