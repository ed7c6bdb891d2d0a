"""The documents of ``lamina plan``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypedDict

from lamina.cli.documents import Document

if TYPE_CHECKING:
    from lamina.api.plan_totals import RegistryTotal, RegistryTotals
    from lamina.builder.prepare import PlanResult
    from lamina.layering import LayerPlan

_Table = Annotated[str | None, "The table of the spec file that describes the image; null without --spec."]


class PlannedLayerDocument(TypedDict):
    """A layer of store paths that would be made."""

    paths: Annotated[list[str], "The store paths in the layer, in packing order."]
    nar_sizes: Annotated[list[int], "The NAR size in bytes of each of the paths, in the same order."]
    nar_size: Annotated[int, "The sum of the NAR sizes in bytes, which is close to the size of the layer."]
    reason: Annotated[str, "Why the path is alone in its layer, or why the paths share one; for people."]
    rate: Annotated[
        float | None,
        "The share of updates that change the layer, from 0 to 1; null if the strategy does not estimate it.",
    ]


class PlannedImageDocument(TypedDict):
    """The layers of store paths that an image would have."""

    layers: Annotated[list[PlannedLayerDocument], "The layers, the lowest first; without the customisation layer."]
    layer_count: Annotated[int, "How many layers there are."]
    path_count: Annotated[int, "How many store paths there are in all layers."]
    closure_size: Annotated[int, "The sum in bytes of the NAR sizes of all store paths in the layers."]
    platform: Annotated[str, "The platform, such as linux/amd64; empty if no option names it."]
    table: _Table


class RegistryTotalDocument(TypedDict):
    """The layers that a registry stores for several images; one that several of them have is stored once."""

    layer_count: Annotated[int, "How many different layers of store paths there are."]
    size: Annotated[int, "The sum in bytes of the NAR sizes of these layers."]
    update_size: Annotated[int, "How many bytes an update of each image sends on average, for all images together."]


class RegistryTotalsDocument(TypedDict):
    """The layers that a registry stores for the same images with different plans."""

    planned: Annotated[RegistryTotalDocument, "With the layers in this document."]
    alone: Annotated[RegistryTotalDocument, "With each image planned alone, by cost."]
    shared: Annotated[RegistryTotalDocument, "With all images planned together, by shared."]


class PlanDocument(PlannedImageDocument, Document):
    """The images that would be made; the keys of the first one stand at the top level too."""

    images: Annotated[
        list[PlannedImageDocument], "All images, one for each table and platform, the first one included."
    ]
    registry: Annotated[
        RegistryTotalsDocument | None, "What a registry stores for the images of a spec file; null for one image."
    ]


class ImageKey(NamedTuple):
    """The table of the spec file and the platform of an image, each empty if there is none."""

    table: str = ""
    platform: str = ""

    @property
    def title(self) -> str:
        """The table and the platform, such as ``web linux/arm64``."""
        return " ".join(filter(None, self))

    def describe(self, *, has_others: bool) -> str:
        """Return what messages call the image; empty if it is the only one. ``has_others`` means other tables."""
        return f"image {self.title}" if has_others else self.platform


def dump_plan(
    plans: Mapping[ImageKey, PlanResult], warnings: Iterable[str], totals: RegistryTotals | None = None
) -> PlanDocument:
    """Return the document of ``lamina plan``, given the plan of each image, and the totals if there are several."""
    images = [_dump_planned_image(key, result) for key, result in plans.items()]
    return {
        **images[0],
        "images": images,
        "registry": None if totals is None else _dump_totals(totals),
        "warnings": list(warnings),
    }


def _dump_totals(totals: RegistryTotals) -> RegistryTotalsDocument:
    return {
        "planned": _dump_total(totals.planned),
        "alone": _dump_total(totals.alone),
        "shared": _dump_total(totals.shared),
    }


def _dump_total(total: RegistryTotal) -> RegistryTotalDocument:
    return {"layer_count": total.layer_count, "size": total.size, "update_size": total.update_size}


def _dump_planned_image(key: ImageKey, result: PlanResult) -> PlannedImageDocument:
    return {
        "layers": list(map(_dump_planned_layer, result.layers)),
        "layer_count": len(result.layers),
        "path_count": sum(len(layer.paths) for layer in result.layers),
        "closure_size": sum(layer.nar_size for layer in result.layers),
        "platform": key.platform,
        "table": key.table or None,
    }


def _dump_planned_layer(layer: LayerPlan) -> PlannedLayerDocument:
    return {
        "paths": list(map(str, layer.paths)),
        "nar_sizes": [size for _, size in layer.nars],
        "nar_size": layer.nar_size,
        "reason": layer.reason,
        "rate": layer.rate,
    }
