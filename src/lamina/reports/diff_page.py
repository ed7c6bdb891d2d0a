"""The page of a comparison: which layers and packages of two images are kept, sent and gone, and their bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lamina.images.diff_texts import NO_PLATFORM, describe_platforms, describe_sizes, describe_total, name_images
from lamina.messages.sizes import format_size
from lamina.reports.bars import draw_bar
from lamina.reports.diff_tables import draw_config_table, draw_layer_changes, draw_package_changes
from lamina.reports.markup import Markup, element
from lamina.reports.page import make_page

if TYPE_CHECKING:
    from lamina.images.diff import DiffResult

_STYLES = ("page.css", "diff.css")
_SCRIPTS = ("diff.js",)
_STATES = (("sent", "Sent"), ("gone", "Gone"), ("kept", "Kept"))


def make_diff_page(result: DiffResult) -> bytes:
    """Return the page of the differences between two images, for each platform that both have.

    Args:
        result: the comparison.

    Returns:
        The page in UTF-8.

    """
    title = name_images(result)
    several = len(result.platforms) > 1
    body = (
        element(
            "header",
            element("div", element("p", "Image update", class_="kind"), element("h1", title)),
            class_="page",
        ),
        element(
            "main",
            _draw_filter(),
            [_draw_comparison(compared, has_title=several) for compared in result.platforms],
            _draw_missing(result),
        ),
    )
    return make_page(f"Update of {title}", body, styles=_STYLES, scripts=_SCRIPTS)


def _draw_filter() -> Markup:
    boxes = [
        element(
            "label",
            element("input", type="checkbox", name="state", value=state, checked=True),
            title,
            class_="state",
        )
        for state, title in _STATES
    ]
    return element(
        "section",
        element(
            "div",
            element("label", "Find a package or a layer", for_="search"),
            element("input", id="search", type="search", autocomplete="off", spellcheck="false"),
        ),
        element("fieldset", element("legend", "Show what is"), boxes),
        element("p", id="count", class_="note", role="status"),
        id="filter",
        aria_label="Filter",
        class_="scripted",
    )


def _draw_comparison(result: DiffResult, *, has_title: bool) -> Markup:
    """Return the parts of one platform."""
    platform = describe_platforms(result)
    return element(
        "div",
        element("h2", platform, class_="platform") if has_title else "",
        element("section", element("h2", "Bytes"), _draw_totals(result, platform), class_="totals"),
        element("section", element("h2", "Packages"), draw_package_changes(result.packages)),
        element("section", element("h2", "Layers"), draw_layer_changes(result.layers)),
        element("section", element("h2", "Settings"), draw_config_table(result.config)) if result.config else "",
        class_="comparison",
    )


def _draw_totals(result: DiffResult, platform: str) -> Sequence[Markup]:
    sizes = {"kept": result.kept.size, "sent": result.sent.size, "gone": result.gone.size}
    whole = max(result.old.size, result.new.size, 1)
    totals = (("kept", result.kept), ("sent", result.sent), ("gone", result.gone))
    facts = [
        ("Platform", platform),
        ("Size", describe_sizes(result)),
        *((state.capitalize(), describe_total(total)) for state, total in totals),
    ]
    rows = [
        ("Old image", [("kept", sizes["kept"]), ("gone", sizes["gone"])]),
        ("New image", [("kept", sizes["kept"]), ("sent", sizes["sent"])]),
    ]
    bars = [element("div", element("span", title), draw_bar(parts, whole), class_="total") for title, parts in rows]
    legend = [element("li", element("span", class_=f"swatch {state}"), state) for state in sizes]
    return (
        element("dl", [element("div", element("dt", key), element("dd", value)) for key, value in facts]),
        *bars,
        element("ul", legend, class_="legend"),
    )


def _draw_missing(result: DiffResult) -> str:
    """Return a list of the images for platforms that only one of the two has; empty if there are none."""
    missing = [("gone", image) for image in result.only_old] + [("added", image) for image in result.only_new]
    items = [
        element("li", f"{image.platform or NO_PLATFORM}: {change}, {format_size(image.size)}")
        for change, image in missing
    ]
    return element("section", element("h2", "Other platforms"), element("ul", items)) if items else ""
