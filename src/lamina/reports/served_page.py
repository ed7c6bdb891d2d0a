"""The page of a registry: the images that it serves, the layers that they share, and the commands that pull them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from lamina.core.labels import shorten_digest
from lamina.core.names import Digest
from lamina.messages.sizes import format_size
from lamina.reports.bars import draw_bar
from lamina.reports.markup import Markup, element
from lamina.reports.page import make_page, make_policy
from lamina.reports.served_layers import CommonLayer, ImageEntry, find_common_layers, sum_sizes
from lamina.reports.tables import draw_table

_STYLES = ("page.css", "single_column.css", "served.css")
_SCRIPTS = ("served.js",)
_MAX_COMMON = 50
"""How many layers the table of common layers has; the sentence below it counts the others."""
_MAX_NAMES = 10
_ALL = ("*",)
_LEGEND = (("kept", "Layers that other images have too"), ("sent", "Layers of this image alone"))
_PULL = "docker pull"


def make_served_page(address: str, images: Sequence[ImageEntry], allowed: Sequence[str]) -> bytes:
    """Return the page of a registry.

    Args:
        address: the registry as clients reach it, ``HOST[:PORT]``.
        images: the images, in the order in which they are listed.
        allowed: patterns of the packages that a name may list; none if only these images are served.

    Returns:
        The page in UTF-8.

    """
    common = find_common_layers(images)
    body = (
        element(
            "header",
            element("div", element("p", "Container registry", class_="kind"), element("h1", address)),
            _draw_facts(images, common),
            class_="page",
        ),
        element(
            "main",
            _draw_images(address, images, {layer.layer.blob.digest for layer in common}),
            _draw_packages(address, allowed) if allowed else "",
            _draw_common_layers(common),
            element("p", id="status", class_="scripted note", role="status"),
        ),
    )
    return make_page(f"Images of {address}", body, styles=_STYLES, scripts=_SCRIPTS)


def make_served_page_policy() -> str:
    """Return what the page may load and run, for the header ``Content-Security-Policy``."""
    return make_policy(_STYLES, _SCRIPTS)


def _draw_facts(images: Sequence[ImageEntry], common: Sequence[CommonLayer]) -> Markup:
    ready = [image for image in images if image.platforms]
    layers = {layer.blob.digest: layer for image in ready for layer in image.layers}
    facts = [
        ("Images", f"{len(images):,}"),
        ("Ready", f"{len(ready):,}"),
        ("Different layers", f"{len(layers):,}"),
        ("Size of these layers", format_size(sum_sizes(layers.values()))),
        ("Saved by sharing", format_size(sum(layer.saved for layer in common))),
    ]
    return element("dl", [element("div", element("dt", key), element("dd", value)) for key, value in facts])


def _draw_images(address: str, images: Sequence[ImageEntry], common: Collection[Digest]) -> Markup:
    largest = max((sum_sizes(image.layers) for image in images), default=0)
    rows = [_draw_image(address, image, common, largest) for image in images]
    legend = [element("li", element("span", class_=f"swatch {kind}"), title) for kind, title in _LEGEND]
    note = "Sizes are those of the compressed layers. The first pull of an image makes it."
    return element(
        "section",
        element("h2", "Images"),
        element("p", note if rows else "No image was made yet.", class_="note"),
        element("ul", legend, class_="legend") if common else "",
        element("ul", rows, class_="images") if rows else "",
    )


def _draw_image(address: str, image: ImageEntry, common: Collection[Digest], largest: int) -> Markup:
    layers = image.layers
    size = sum_sizes(layers)
    shared = sum_sizes(layer for layer in layers if layer.blob.digest in common)
    bar = draw_bar((("kept", shared), ("sent", size - shared)), largest) if size else ""
    return element(
        "li",
        element("h3", image.name),
        _draw_command(f"{_PULL} {address}/{image.name}", f"Copy the command that pulls {image.name}"),
        element("p", _describe(image, size, shared), class_="facts"),
        bar,
    )


def _describe(image: ImageEntry, size: int, shared: int) -> str:
    if not image.platforms:
        return "Not made yet"
    count = len(image.platforms)
    platforms = f", {count} platforms" if count > 1 else ""
    also = f", {format_size(shared)} shared" if shared else ""
    return f"{_count(len(image.layers), 'layer')}{platforms}, {format_size(size)}{also}"


def _draw_command(command: str, label: str) -> Markup:
    """Return a command, with a button that copies it."""
    button = element("button", "Copy", type="button", class_="scripted", aria_label=label)
    return element("div", element("code", command), button, class_="command")


def _draw_packages(address: str, allowed: Sequence[str]) -> Markup:
    examples = [
        ("A package of nixpkgs, or the hash of a store path", "PACKAGE"),
        ("Several packages in one image", "PACKAGE/PACKAGE"),
        ("A package for another architecture", "arm64/PACKAGE"),
    ]
    terms = [
        element("div", element("dt", title), element("dd", element("code", f"{_PULL} {address}/{name}")))
        for title, name in examples
    ]
    limit = "" if tuple(allowed) == _ALL else element("p", f"Packages whose names match: {', '.join(allowed)}")
    return element(
        "section", element("h2", "Packages by name"), limit, element("dl", terms, class_="examples"), class_="packages"
    )


def _draw_common_layers(common: Sequence[CommonLayer]) -> Markup | str:
    """Return the table of the layers that several images have; empty if there are none."""
    if not common:
        return ""
    rows = [
        element(
            "tr",
            element("th", layer.layer.name, scope="row"),
            element("td", _draw_names(layer.images)),
            element("td", format_size(layer.layer.blob.size), class_="number"),
            element("td", format_size(layer.saved), class_="number"),
            element("td", shorten_digest(layer.layer.blob.digest), class_="digest"),
        )
        for layer in common[:_MAX_COMMON]
    ]
    heads = (("Layer", ""), ("Images", ""), ("Size", "number"), ("Saved", "number"), ("Digest", "digest"))
    rest = len(common) - len(rows)
    return element(
        "section",
        element("h2", "Layers in several images"),
        draw_table("Layers in several images", heads, rows),
        element("p", f"{_count(rest, 'smaller layer')} more", class_="note") if rest else "",
    )


def _draw_names(names: Sequence[str]) -> Markup:
    """Return the number of images, which shows their names when it is opened."""
    more = f" and {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
    return element("details", element("summary", _count(len(names), "image")), ", ".join(names[:_MAX_NAMES]) + more)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
