"""Describe the decisions about an image that no argument made, and their reasons, in sentences for people."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from lamina.images.image import Draft
from lamina.inputs.parsers import is_shared_cache
from lamina.inputs.spec import Spec
from lamina.layering import LayerPlan, PinnedStrategy
from lamina.layering.pinned import KEPT
from lamina.layering.pipeline import Pipeline
from lamina.stores.store import Store
from lamina.system.cpus import cpu_count
from lamina.transports.urls import redact_url


def describe_plan(spec: Spec, store: Store, plans: Sequence[LayerPlan]) -> tuple[str, ...]:
    """Return which stores were asked, and how the store paths were grouped into layers."""
    paths = sum(len(plan.paths) for plan in plans)
    if isinstance(spec.layering, PinnedStrategy):
        kept = sum(plan.reason == KEPT for plan in plans)
        rule = f"{kept} kept from {spec.layering.image}, with at most {spec.layer_limit} in the image"
    elif isinstance(spec.layering, str):
        rule = f"by {spec.layering}, with at most {spec.layer_limit} in the image"
    else:
        rule = "by a pipeline" if isinstance(spec.layering, Pipeline) else "by a function of the caller"
    return (f"stores: {store.label}", f"layers: {len(plans)} of {paths} store paths, {rule}")


def describe_image(spec: Spec, draft: Draft, sandbox: str) -> tuple[str, ...]:
    """Return what was decided for ``draft``; ``sandbox`` is the name of the sandbox of its scripts, if any ran."""
    return (*describe_plan(spec, draft.store, draft.plans), *_iterate_settings(spec, draft, sandbox))


def _iterate_settings(spec: Spec, draft: Draft, sandbox: str) -> Iterator[str]:
    settings = draft.settings
    yield f"name: {settings.repository}, {'as given' if spec.name else 'the package name of the first ROOT'}"
    yield f"tag: {settings.tag}, as given" if settings.tag else "tag: the first 32 hex digits of the image ID"
    architecture = settings.config.architecture
    source = "as given" if spec.architecture else "that of the first program or of the base image, else this machine's"
    yield f"architecture: {architecture}, {source}"
    if spec.from_image:
        yield f"base image: {os.fspath(spec.from_image)}, {len(draft.base)} layers"
    if sandbox:
        yield f"scripts: ran in {sandbox}"
    yield f"layer cache: {_describe_layer_cache(spec)}"
    yield f"processors: {spec.jobs or cpu_count()}"


def _describe_layer_cache(spec: Spec) -> str:
    if not spec.layer_cache or not is_shared_cache(spec.layer_cache):
        return spec.layer_cache or "none"
    front = f", behind {spec.local_layer_cache}" if spec.local_layer_cache else ""
    return redact_url(spec.layer_cache) + (", not asked because of --offline" if spec.offline else front)
