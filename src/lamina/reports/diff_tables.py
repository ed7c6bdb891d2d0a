"""The tables of a comparison, with a bar of the bytes in each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lamina.core.labels import shorten_digest, summarize_layer_paths
from lamina.images.diff_texts import describe_package, list_setting
from lamina.messages.sizes import format_size
from lamina.reports.bars import draw_bar
from lamina.reports.markup import Markup, element
from lamina.reports.tables import draw_table

if TYPE_CHECKING:
    from lamina.images.config_changes import ConfigChange
    from lamina.images.diff import LayerChange, PackageChange


def draw_package_changes(packages: Sequence[PackageChange]) -> Markup:
    """Return the table of the packages, those with the most bytes to send first."""
    sizes = [(package.kept_size, package.sent_size, package.gone_size) for package in packages]
    largest = max(map(sum, sizes), default=0)
    rows = []
    for package, (kept, sent, gone) in zip(packages, sizes, strict=True):
        parts = (("sent", sent), ("gone", gone), ("kept", kept))
        found = " ".join(state for state, size in parts if size)
        name = describe_package(package)
        rows.append(
            element(
                "tr",
                element("th", name, scope="row", title=_list_versions(package)),
                element("td", package.change, class_="change"),
                element("td", draw_bar(parts, largest), class_="bar"),
                [element("td", format_size(size) if size else "", class_="number") for _, size in parts],
                data_states=found or package.change,
                data_text=f"{name} {package.old or ''} {package.new or ''}".lower(),
            )
        )
    heads = (("Package", ""), ("Change", "change"), ("", "bar"))
    return draw_table(
        "Packages", (*heads, ("Sent", "number"), ("Gone", "number"), ("Kept", "number")), rows, "packages"
    )


def draw_layer_changes(layers: Sequence[LayerChange]) -> Markup:
    """Return the table of the layers of the new image, from the lowest up, and then those that are gone."""
    largest = max((layer.size for layer in layers), default=0)
    rows = [
        element(
            "tr",
            element("th", str(layer.number), scope="row", class_="number"),
            element("td", layer.change, class_="change"),
            element("td", format_size(layer.size), class_="number"),
            element("td", draw_bar([(layer.change, layer.size)], largest), class_="bar"),
            element("td", summarize_layer_paths(layer.paths, layer.path_sizes)),
            element("td", shorten_digest(layer.digest), class_="digest", title=str(layer.digest)),
            data_states=layer.change,
            data_text=" ".join((str(layer.digest), str(layer.diff_id), *map(str, layer.paths))).lower(),
        )
        for layer in layers
    ]
    heads = (("Layer", "number"), ("Change", "change"), ("Size", "number"), ("", "bar"), ("Store paths", ""))
    return draw_table("Layers", (*heads, ("Digest", "digest")), rows, "layers")


def draw_config_table(changes: Sequence[ConfigChange]) -> Markup:
    """Return the table of the settings that differ."""
    rows = [
        element("tr", element("th", name, scope="row"), element("td", old), element("td", new))
        for name, old, new in map(list_setting, changes)
    ]
    return draw_table("Settings", (("Setting", ""), ("Old", ""), ("New", "")), rows, "settings")


def _list_versions(package: PackageChange) -> str | None:
    return " → ".join(dict.fromkeys(str(path) for path in (package.old, package.new) if path)) or None
