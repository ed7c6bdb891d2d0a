"""The file listings of a layer of store paths, which come from the layer cache or are made now.

New listings go into the layer cache once the layer has been written. Only the process that opened the cache writes to
it: worker processes return listings and never open the cache.

Invariant: a cached listing is used only for a store path at the same location and with the same NAR hash.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lamina.core.names import Digest
from lamina.formats.listing import Listing
from lamina.formats.tar import Owner
from lamina.layer_cache.cache import LayerCache
from lamina.layers import worker_tasks
from lamina.layers.packed import ListedLayer, ListedPath
from lamina.system.locations import Location, disk_path, list_location


@dataclass(frozen=True, slots=True)
class LocatedPath:
    """A store path: its full ``name`` (``/nix/store/…``), its location, and its NAR hash if that is known."""

    name: bytes
    location: Location
    nar_hash: Digest | None


@dataclass(frozen=True, slots=True)
class LocatedLayer:
    """Store paths that are on this machine and whose files are not listed yet.

    ``owner`` and ``mtime`` are those of every file in the layer; ``mtime`` is in whole seconds since 1970.
    """

    paths: tuple[LocatedPath, ...]
    owner: Owner
    mtime: int

    @property
    def locations(self) -> list[Location]:
        """The locations of the store paths, in packing order."""
        return [path.location for path in self.paths]

    def get_listings(self, layer_cache: LayerCache) -> ListedLayer | None:
        """Return the layer with listings from the layer cache, or None if the cache lacks one of them."""
        keys = [(disk_path(path.location), path.nar_hash) for path in self.paths if path.nar_hash]
        found = layer_cache.get_listings(keys)
        return self.with_listings(Listing.parse(found[key]) if key in found else None for key in keys)

    def list_files(self) -> ListedLayer | None:
        """List the files in this process; return None if a path has no listing. Raises what `list_location` raises."""
        return self.with_listings(map(list_location, self.locations))

    def list_in_worker(self, run_task: worker_tasks.RunTask) -> ListedLayer | None:
        """List the files in a worker process; return None if a store path cannot be listed."""
        task = worker_tasks.listing_task(self.locations)
        return self.with_listings(worker_tasks.parse_listings(run_task(task)))

    def with_listings(self, listings: Iterable[Listing | None]) -> ListedLayer | None:
        """Return the layer, given the listing of each store path; None if one of those is None."""
        parts = tuple(
            ListedPath(path.name, path.location, listing, path.nar_hash)
            for path, listing in zip(self.paths, listings, strict=True)
            if listing is not None
        )
        return ListedLayer(parts, self.owner, self.mtime) if len(parts) == len(self.paths) else None


def put_listings(layer_cache: LayerCache, listed: ListedLayer) -> None:
    """Put the listings into the layer cache."""
    for part in listed.parts:
        if part.nar_hash:
            layer_cache.put_listing(disk_path(part.location), part.nar_hash, part.listing.dump())


def remove_listings(layer_cache: LayerCache, listed: ListedLayer) -> None:
    """Remove the listings from the layer cache, because the files on disk have changed."""
    for part in listed.parts:
        if part.nar_hash:
            layer_cache.remove_listing(disk_path(part.location), part.nar_hash)
