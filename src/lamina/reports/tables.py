"""Draw tables of the pages: a table scrolls sideways in its box where the screen is narrow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lamina.reports.markup import Markup, element


def draw_table(
    label: str,
    heads: Iterable[tuple[str, str]],
    rows: Sequence[Markup],
    kind: str | None = None,
    body: str | None = None,
) -> Markup:
    """Return a table in a box that the keyboard can scroll.

    Args:
        label: the accessible name of the box.
        heads: the title of each column and the class of its cells; a column without a title has no header.
        rows: the rows of the table.
        kind: the class of the table.
        body: the identifier of the rows, for scripts that change them.

    """
    cells = [
        element("th", title, scope="col", class_=name or None) if title else element("td", class_=name)
        for title, name in heads
    ]
    table = element("table", element("thead", element("tr", cells)), element("tbody", rows, id=body), class_=kind)
    return element("div", table, class_="scroller", role="region", tabindex=0, aria_label=label)
