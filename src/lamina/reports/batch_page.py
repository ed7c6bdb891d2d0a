"""The page of a batch: which images have which layers, what they share, and what was sent."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from lamina.messages.sizes import format_size
from lamina.reports.bars import draw_bar
from lamina.reports.batch_entries import FAILED, MADE, REUSED, BatchEntries, BatchImageEntry
from lamina.reports.markup import Markup, data_element, element
from lamina.reports.page import make_page
from lamina.reports.tables import draw_table

_STYLES = ("page.css", "single_column.css", "batch.css")
_SCRIPTS = ("sizes.js", "batch_matrix.js", "batch_images.js", "batch.js")
_MAX_ROWS = 200
"""How many images the table has without scripts; with scripts, as many more each time that they are asked for."""
_MAX_COLUMNS = 1000
"""How many layers the drawing has: those that most images have."""
_MAX_LAYERS = 50
"""How many layers the table of layers has."""
_MAX_FAILED = 100
"""How many images that failed are listed."""
_HEADS = (
    ("Image", ""),
    ("Layers", "number"),
    ("Size", "number"),
    ("Shared", "number"),
    ("Sent", "number"),
    ("Digest", "digest"),
)
_KEYS = (
    "Point at a place to read the names of its image and its layer. "
    "The arrow keys move between images and layers, Page Up and Page Down by a tenth."
)
_OUTCOMES = {MADE: "sent once", REUSED: "there already", FAILED: "failed"}


def make_batch_page(title: str, batch: BatchEntries) -> bytes:
    """Return the page of a batch.

    Args:
        title: where its images went.
        batch: its images and layers.

    Returns:
        The page in UTF-8.

    """
    rows = [_list_cells(batch, number) for number in range(len(batch.images))]
    body = (
        element(
            "header",
            element("div", element("p", "Batch of images", class_="kind"), element("h1", title)),
            _draw_facts(batch),
            class_="page",
        ),
        element(
            "main",
            _draw_failures(batch),
            _draw_bytes(batch),
            _draw_matrix() if batch.order else "",
            _draw_layers(batch) if batch.order else "",
            _draw_images(rows),
        ),
        data_element("data", _collect_data(batch, rows)),
    )
    return make_page(f"Batch of images in {title}", body, styles=_STYLES, scripts=_SCRIPTS)


def _collect_data(batch: BatchEntries, rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Return what the scripts work on. The layers of an image are bits, in the order of the columns."""
    order = batch.order[:_MAX_COLUMNS]
    columns = {layer: column for column, layer in enumerate(order)}
    return {
        "layers": [
            [
                batch.layers[layer].name,
                batch.layers[layer].size,
                len(batch.users[layer]),
                batch.users[layer][0],
                batch.layers[layer].outcome == MADE,
            ]
            for layer in order
        ],
        "cells": rows,
        "bits": [_encode_bits(columns, image) for image in batch.images],
    }


def _encode_bits(columns: dict[int, int], image: BatchImageEntry) -> str:
    bits = bytearray((len(columns) + 7) // 8)
    for layer in () if image.error else image.layers:
        if (column := columns.get(layer)) is not None:
            bits[column // 8] |= 1 << column % 8
    return base64.b64encode(bits).decode()


def _draw_facts(batch: BatchEntries) -> Markup:
    done, count = sum(not image.error for image in batch.images), len(batch.images)
    made = sum(layer.outcome == MADE for layer in batch.layers)
    facts = [
        ("Images", f"{count:,}" if done == count else f"{done:,} of {count:,}"),
        ("Different layers", f"{len(batch.layers):,}"),
        ("Made", f"{made:,}"),
        ("Mounted", f"{batch.mounted:,}"),
        ("Sent", format_size(batch.sent_size)),
        ("Time", f"{batch.seconds:,.1f} s"),
        ("Workers", batch.workers),
    ]
    return element("dl", [element("div", element("dt", key), element("dd", value)) for key, value in facts])


def _draw_failures(batch: BatchEntries) -> Markup | str:
    failed = [image for image in batch.images if image.error]
    if not failed:
        return ""
    rows = [
        element("tr", element("th", image.name, scope="row"), element("td", image.error))
        for image in failed[:_MAX_FAILED]
    ]
    rest = len(failed) - len(rows)
    return element(
        "section",
        element("h2", "Images that failed"),
        draw_table("Images that failed", (("Image", ""), ("Error", "")), rows, "failed"),
        element("p", f"{rest:,} more", class_="note") if rest else "",
    )


def _draw_bytes(batch: BatchEntries) -> Markup:
    whole = max(batch.whole_size, batch.sent_size, 1)
    bars = [
        ("Each image on its own", (("kept", batch.whole_size),), batch.whole_size),
        ("This batch", (("sent", batch.sent_size),), batch.sent_size),
    ]
    rows = [
        element(
            "div", element("span", name), draw_bar(parts, whole), element("span", format_size(size)), class_="total"
        )
        for name, parts, size in bars
    ]
    note = "Sizes are those of compressed blobs. What the registry already has is not sent."
    return element("section", element("h2", "Bytes sent"), element("p", note, class_="note"), rows)


def _draw_matrix() -> Markup:
    legend = [
        element("li", element("span", class_=f"swatch {kind}"), text)
        for kind, text in (("sent", "The layer was sent with this image"), ("kept", "The image has the layer as well"))
    ]
    note = "Each row is an image, and each column a layer. Layers of many images are on the left."
    return element(
        "section",
        element("h2", "Images and layers", id="matrix-title"),
        element("p", note, class_="note"),
        element(
            "canvas",
            id="matrix",
            tabindex=0,
            role="application",
            aria_roledescription="matrix",
            aria_label="Images and layers",
            aria_describedby="matrix-keys",
        ),
        element("p", id="matrix-cell", role="status"),
        element("ul", legend, class_="legend"),
        element("p", _KEYS, id="matrix-keys", class_="note"),
        aria_labelledby="matrix-title",
        class_="scripted",
    )


def _draw_layers(batch: BatchEntries) -> Markup:
    """Return the table of the layers that saved the most bytes."""
    order = sorted(batch.order, key=lambda layer: -batch.count_saved(layer))
    rows = [
        element(
            "tr",
            element("th", batch.layers[layer].name, scope="row"),
            element("td", f"{len(batch.users[layer]):,}", class_="number"),
            element("td", format_size(batch.layers[layer].size), class_="number"),
            element("td", format_size(batch.count_saved(layer)), class_="number"),
            element("td", _OUTCOMES[batch.layers[layer].outcome], class_="outcome"),
        )
        for layer in order[:_MAX_LAYERS]
    ]
    heads = (("Layer", ""), ("Images", "number"), ("Size", "number"), ("Saved", "number"), ("Outcome", "outcome"))
    rest = len(order) - len(rows)
    return element(
        "section",
        element("h2", "Layers that saved the most"),
        draw_table("Layers that saved the most", heads, rows, "layers"),
        element("p", f"{rest:,} more {'layer' if rest == 1 else 'layers'}", class_="note") if rest else "",
    )


def _list_cells(batch: BatchEntries, number: int) -> tuple[str, ...]:
    """Return the texts of an image's row, which are the same with and without scripts."""
    image = batch.images[number]
    if image.error:
        return (image.name, "", "", "", format_size(image.own_size) if image.own_size else "", "failed")
    sizes = (batch.sum_sizes(image), batch.sum_shared(image), batch.sum_first(number))
    return (image.name, f"{len(image.layers):,}", *map(format_size, sizes), image.digest)


def _draw_images(rows: Sequence[Sequence[str]]) -> Markup:
    drawn = [_draw_image(row) for row in rows[:_MAX_ROWS]]
    rest = len(rows) - len(drawn)
    return element(
        "section",
        element("h2", "Images", id="images-title"),
        element(
            "div",
            element("label", "Find an image", for_="search"),
            element("input", id="search", type="search", autocomplete="off", spellcheck="false"),
            class_="search scripted",
        ),
        element("p", id="count", class_="note scripted", role="status"),
        draw_table("Table of images", _HEADS, drawn, "images", "image-rows"),
        element("p", f"{rest:,} more", id="rest", class_="note") if rest else "",
        element("button", "Show more", id="more", type="button", class_="scripted", hidden=True),
        aria_labelledby="images-title",
    )


def _draw_image(row: Sequence[str]) -> Markup:
    name, *texts = row
    cells = [element("td", text, class_=kind) for text, (_, kind) in zip(texts, _HEADS[1:], strict=True)]
    return element("tr", element("th", name, scope="row"), cells)
