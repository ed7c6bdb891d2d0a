"""The inputs of a worker: where it reads store paths, and which layer cache it uses.

Invariant: what goes to another machine contains no credentials. A worker uses its own.
"""

from __future__ import annotations

import os
from dataclasses import fields

from lamina.errors import InvalidArgument
from lamina.fleet.layer_task import CachePlace, PathSources
from lamina.inputs.parsers import is_shared_cache
from lamina.inputs.spec import Spec, StoreSpec
from lamina.stores.open import is_remote
from lamina.transports.urls import redact_url, try_split_url


def find_sources(spec: Spec, *, on_cluster: bool) -> PathSources:
    """Return where workers read the store paths of an image.

    Args:
        spec: the image.
        on_cluster: whether the workers are on other machines. What binary caches send them goes to temporary folders.

    Raises:
        InvalidArgument: the store is an object, or a URL with credentials that would leave this machine.

    """
    if not isinstance(spec.store, tuple):
        hint = "a batch reads store paths in other processes, which open the stores themselves"
        raise InvalidArgument("store", "an object", "the names of stores: folders and URLs", hint=hint)
    if on_cluster:
        for url in (*spec.store, *filter(None, (spec.channel,))):
            if _has_credentials(url):
                hint = "workers use their own credentials: a netrc file, or the variables of AWS"
                raise InvalidArgument("store", f"{redact_url(url)} with a password", "a URL without one", hint=hint)
    values = {each.name: getattr(spec, each.name) for each in fields(StoreSpec)}
    if on_cluster:  # workers have other working directories
        values["store"] = tuple(store if is_remote(store) else os.path.abspath(store) for store in spec.store)
    if spec.store:
        values["channel"] = None  # it only gives store paths their names
    return PathSources(StoreSpec(**values), None if on_cluster else spec.embedded_store)


def _has_credentials(url: str) -> bool:
    """Return whether a URL has a user, a password or, for HTTP, a query, which may be a token."""
    parts = try_split_url(url) if is_remote(url) else None
    return parts is not None and ("@" in parts.netloc or (parts.scheme in ("http", "https") and bool(parts.query)))


def find_layer_cache(spec: Spec, *, on_cluster: bool) -> CachePlace:
    """Return the layer cache that workers use. Those on other machines use only one that is shared."""
    if on_cluster:
        return CachePlace(spec.layer_cache if spec.layer_cache and is_shared_cache(spec.layer_cache) else None)
    return CachePlace(spec.layer_cache, spec.local_layer_cache)


def find_blob_cache(spec: Spec, *, on_cluster: bool) -> CachePlace:
    """Return where workers find and keep compressed layers. Those on other machines use only a shared place."""
    if on_cluster:
        return CachePlace(spec.blob_cache if spec.blob_cache and is_shared_cache(spec.blob_cache) else None)
    return CachePlace(spec.blob_cache, spec.local_blob_cache)
