"""Draw the layers of a plan as a treemap in SVG: store paths within layers, with areas in proportion to bytes.

Coordinates are percentages, so that the drawing fills any width and height and its areas stay in proportion. A style
sheet sets the colours, and a script shortens the labels that do not fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lamina.messages.sizes import format_size
from lamina.reports.markup import Markup, element
from lamina.reports.treemap import Rectangle, squarify

# Width to height of the layout: between that of a wide screen and that of a phone, so that stretching it to either
# leaves the rectangles nearly square.
_ASPECT = 1.4
# The least width and height of a rectangle with a label, and of one with its size too, in percent of the drawing.
_LABEL_WIDTH, _LABEL_HEIGHT, _SIZE_HEIGHT = 5.5, 4.0, 9.0


def draw_treemap(
    title: str, layers: Sequence[Sequence[int]], names: Sequence[str], sizes: Sequence[int], plan: int
) -> Markup:
    """Return the drawing of a plan.

    Args:
        title: its accessible name.
        layers: the path numbers of each layer.
        names: the name of each path.
        sizes: the size of each path in bytes.
        plan: the index of the plan on the page.

    Returns:
        An ``svg`` element with a button for each path, the largest layers and paths first.

    """
    whole = Rectangle(0, 0, 100 * _ASPECT, 100)
    weights = [sum(sizes[number] for number in layer) for layer in layers]
    boxes = squarify(weights, whole)
    order = sorted(range(len(layers)), key=lambda index: (-weights[index], index))
    cells: list[Markup] = []
    labels: list[Markup] = []
    frames: list[Markup] = []
    for index in order:
        numbers = sorted(layers[index], key=lambda number: (-sizes[number], number))
        places = squarify([sizes[number] for number in numbers], boxes[index])
        for number, place in zip(numbers, places, strict=True):
            if place.area:
                name, size = names[number], format_size(sizes[number])
                cells.append(_draw_cell(place, number, index, f"{name}, {size}, layer {index + 1}", not cells))
                labels += _draw_label(place, number, name, size)
        frames.append(element("rect", class_="frame", **_locate(boxes[index])))
    # A script puts these around the chosen path and around the one with the focus, above everything else.
    rings = [element("rect", class_=f"ring {kind}") for kind in ("chosen", "focused")]
    return element(
        "svg",
        cells,
        element("g", frames, labels, rings, class_="overlay", aria_hidden="true"),
        class_="treemap",
        role="group",
        aria_label=title,
        aria_describedby="keys",
        data_plan=plan,
    )


def _draw_cell(place: Rectangle, number: int, layer: int, label: str, is_first: bool) -> Markup:
    return element(
        "rect",
        class_="cell",
        **_locate(place),
        role="button",
        tabindex=0 if is_first else -1,
        aria_label=label,
        aria_pressed="false",
        data_path=number,
        data_layer=layer,
    )


def _draw_label(place: Rectangle, number: int, name: str, size: str) -> Iterator[Markup]:
    if place.width / _ASPECT < _LABEL_WIDTH or place.height < _LABEL_HEIGHT:
        return
    lines = [element("text", name, x=6, y=16)]
    if place.height >= _SIZE_HEIGHT:
        lines.append(element("text", size, class_="size", x=6, y=31))
    yield element("svg", lines, class_="label", data_path=number, **_locate(place))


def _locate(place: Rectangle) -> dict[str, str]:
    """Return the place as attributes, in percent of the drawing."""
    return {
        "x": f"{place.x / _ASPECT:.3f}%",
        "y": f"{place.y:.3f}%",
        "width": f"{place.width / _ASPECT:.3f}%",
        "height": f"{place.height:.3f}%",
    }
