"""Describe how an image was made: what the user asked for, and what went into it.

Arguments can hold paths of the user's machine, and secrets. So an argument is only described here if it can hold
neither: file names are left out, and scripts are described by their digests. The container config and the annotations
are in the image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lamina.compression.compressors import REGISTRY_LAYER_COMPRESSION
from lamina.core.names import STORE_DIR, StorePath
from lamina.errors import NotFound
from lamina.formats.keys import PublicKey, find_signer
from lamina.formats.media_types import DOCKER, OCI
from lamina.formats.narinfo import NarInfo
from lamina.formats.oci import read_media_type
from lamina.formats.provenance import BaseMaterial, SignedMaterial, dump_statement
from lamina.images.attachments import PushedImage
from lamina.images.image import Draft
from lamina.inputs.spec import Spec
from lamina.inputs.stores import make_trust
from lamina.layering.pinned import PinnedStrategy
from lamina.layering.pipeline import Pipeline
from lamina.stores.nars import find_narinfo
from lamina.stores.store import Store

if TYPE_CHECKING:  # the readers of images are only imported if there is a base image
    from lamina.images.readers.source_image import InspectedImage


def make_statement(spec: Spec, draft: Draft, image: PushedImage) -> bytes:
    """Return the provenance of an image that is made of store paths.

    Args:
        spec: the arguments of the image.
        draft: the image; its store must be open.
        image: the image as it is pushed.

    Raises:
        NotFound: the store does not have one of the paths any more.
        StoreError: the store could not be read.

    """
    base = draft.inputs.base_image
    paths = {path for plan in draft.plans for path in plan.paths}
    signed = _list_signed(paths, draft.store, make_trust(spec).keys)
    materials = (*((_describe_base(base),) if base else ()), *signed)
    return dump_statement(image.names, image.manifest.digest, _list_parameters(spec, draft, image.platform), materials)


def _list_signed(paths: Iterable[StorePath], store: Store, keys: Iterable[PublicKey]) -> Iterator[SignedMaterial]:
    wanted = sorted(paths)
    infos = store.query(wanted)
    for path in wanted:
        if path not in infos:
            raise NotFound(path, f"no such path in {store.label}", "the path, which is in the image")
        narinfo = find_narinfo(store, infos[path])
        yield SignedMaterial(narinfo, tuple(dict.fromkeys(_list_signers(narinfo, keys))))


def _list_signers(narinfo: NarInfo, keys: Iterable[PublicKey]) -> Iterator[str]:
    for key in keys:
        if signer := find_signer(narinfo.fingerprint, narinfo.signatures, (key,)):
            yield signer


def _describe_base(image: InspectedImage) -> BaseMaterial:
    from lamina.images.readers.registry_image import RegistryImage

    manifest = image.manifest_digest
    if manifest is None:  # a docker-archive has no manifest with a digest
        return BaseMaterial(image.full_name, image.digest, DOCKER.config)
    reference = image.reference if isinstance(image, RegistryImage) else None
    return BaseMaterial(image.full_name, manifest, read_media_type(image.manifest_bytes), reference)


def _list_parameters(spec: Spec, draft: Draft, platform: str) -> Mapping[str, Any]:
    """Return the arguments by their names in a spec file, with the values that were used."""
    settings, inputs = draft.settings, draft.inputs
    owner = settings.owner
    return {
        "contents": list(map(str, inputs.contents)),
        "closure": list(map(str, inputs.closure)),
        "platform": platform,
        "created": _format_date(settings.config.created),
        "mtime": _format_date(settings.mtime),
        "owner": {"uid": owner.uid, "gid": owner.gid, "uname": owner.uname, "gname": owner.gname},
        "maxLayers": spec.max_layers,
        "reserve": spec.reserve,
        "layers": list(map(list, spec.layers)),
        "rates": {pattern: float(rate) for pattern, rate in spec.rates},
        "layeringPipeline": _describe_layering(spec),
        "layerCompression": str(spec.layer_compression or REGISTRY_LAYER_COMPRESSION),
        "mediaTypes": (spec.media_types or OCI).name,
        "includeStorePaths": spec.include_store_paths,
        "includeNixDB": spec.include_nix_db,
        "with": list(spec.extras),
        "inherit": list(spec.inherit),
        "hasDeclaredEntries": bool(spec.tree or spec.add_user),
        "scripts": dict(_list_scripts(spec)),
    }


def _format_date(moment: datetime) -> str:
    return moment.isoformat()


def _describe_layering(spec: Spec) -> Any:
    if isinstance(spec.layering, Pipeline):
        return spec.layering.with_paths(_hide_folder).dump()
    if isinstance(spec.layering, PinnedStrategy):
        from lamina.images.readers.references import find_reference

        image = find_reference(spec.layering.image) or _hide_folder(spec.layering.image)
        return str(PinnedStrategy(str(image)))
    return spec.layering if isinstance(spec.layering, str) else "a function in Python"


def _hide_folder(path: str) -> str:
    """Return ``path``, or only its name if it leads to no store path, because then it names a folder of the machine."""
    return path if path.startswith(f"{STORE_DIR}/") else path.rpartition("/")[2]


def _list_scripts(spec: Spec) -> Iterator[tuple[str, Any]]:
    for name, script in (("extraCommands", spec.extra_commands), ("fakeRootCommands", spec.fake_root_commands)):
        if script:
            yield name, {"sha256": hashlib.sha256(script.encode()).hexdigest()}
    if spec.fake_root_commands:
        yield "enableFakechroot", spec.enable_fakechroot
