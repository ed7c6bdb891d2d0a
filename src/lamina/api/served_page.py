"""The page of `lamina serve` at ``/``, made of the images that are ready at that moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lamina.api.served_catalog import ImageCatalog, ImageKey
from lamina.reports.served_layers import ImageEntry, LayerEntry
from lamina.reports.served_page import make_served_page, make_served_page_policy
from lamina.server.images_on_demand import ImagesOnDemand
from lamina.server.served_image import MadeImage, ServedImage
from lamina.server.web_page import MakePage, WebPage


def prepare_page(catalog: ImageCatalog, images: ImagesOnDemand) -> MakePage:
    """Return the function that makes the page. It makes no image."""
    policy = make_served_page_policy()

    def make(address: str) -> WebPage:
        return WebPage(make_served_page(address, list_images(catalog, images.list_ready()), catalog.allowed), policy)

    return make


def list_images(catalog: ImageCatalog, ready: Mapping[ImageKey, ServedImage]) -> Sequence[ImageEntry]:
    """Return the images that have a name of their own, and those of packages that are ready, by name and tag.

    Args:
        catalog: the images that are served.
        ready: the images that were made lately.
    """
    entries = []
    for key in sorted({*catalog.images, *ready}):
        image = ready.get(key)
        entries.append(ImageEntry(":".join(key), tuple(map(_list_layers, image.images)) if image else ()))
    return entries


def _list_layers(image: MadeImage) -> tuple[LayerEntry, ...]:
    return tuple(LayerEntry(name, blob) for name, blob in zip(image.names, image.blobs, strict=True))
