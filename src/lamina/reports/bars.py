"""Draw horizontal bars of sizes in SVG."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.reports.markup import Markup, element


def draw_bar(parts: Iterable[tuple[str, int]], whole: int, label: str | None = None) -> Markup:
    """Return a bar of parts one after the other.

    Args:
        parts: the class and the size of each part.
        whole: the size that the full width stands for.
        label: the accessible name; without it, the bar is hidden from screen readers, since a number is beside it.

    """
    start = 0
    drawn = []
    for kind, size in parts:
        if size:
            place = {"x": f"{100 * start / whole:.3f}%", "width": f"{100 * size / whole:.3f}%"}
            drawn.append(element("rect", class_=kind, height="100%", **place))
        start += size
    if label is None:
        return element("svg", drawn, class_="bar", aria_hidden="true")
    return element("svg", drawn, class_="bar", role="img", aria_label=label)
