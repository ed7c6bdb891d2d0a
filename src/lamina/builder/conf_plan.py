"""Write the plan of an image as nixpkgs' ``conf.json``: the store paths of each layer, and the settings of the image.

Invariant: with the strategy ``auto`` or a pipeline, the plan is the one that nixpkgs makes from the same closure graph.
`lamina.builder.nixpkgs_conf` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from lamina.builder.base_image import BaseImage
from lamina.builder.layer_plans import plan_layers
from lamina.builder.open_base import open_base
from lamina.core.closure import Closure
from lamina.core.names import STORE_DIR, StorePath
from lamina.core.nodes import Extent, Regular
from lamina.errors import FormatError, NotFound, PlanError
from lamina.formats import container_config
from lamina.formats.conf import Conf
from lamina.formats.json_toml import parse_json
from lamina.formats.reference_scanner import ReferenceScanner
from lamina.formats.tar_reader import read_headers
from lamina.inputs.parsers import parse_architecture
from lamina.inputs.spec import Spec
from lamina.layering import LayerPlan, Pipeline
from lamina.messages.redaction import short_repr
from lamina.rootfs.database import DATABASE_PATH
from lamina.stores.store import Store
from lamina.system.documents import MAX_BYTES
from lamina.system.extents import open_reader, read_head
from lamina.system.transfer import transfer


@dataclass(frozen=True, slots=True)
class ConfResult:
    """A ``conf.json`` in ``text``, with the plan of its store layers.

    ``base_layers`` is the number of layers of the base image, which come before ``layers``; ``warnings`` are about the
    layering.
    """

    text: str
    layers: tuple[LayerPlan, ...]
    base_layers: int
    warnings: tuple[str, ...]


def plan_conf(
    spec: Spec, base_json: StorePath, customisation_layer: StorePath, store: Store, warnings: list[str]
) -> ConfResult:
    """Plan the layers of ``spec``, and return the ``conf.json`` that describes the image.

    Args:
        spec: the image, whose config and architecture are those of ``base_json``.
        base_json: the file with the architecture, the config and the operating system of the image.
        customisation_layer: the folder with the customisation layer.
        store: the store that contains both, and all their references.
        warnings: the list to which messages about the layers are added.

    Raises:
        NotFound: the store lacks a path, or a file in it.
        PlanError: the number of layers is too small.
        FormatError: a file is invalid, or the result would be invalid, for example without a name and a tag.
        Error: any error of opening the base image.

    """
    base = parse_json(read_head(_find_file(store, base_json, b""), MAX_BYTES), str(base_json))
    if not isinstance(base, dict) or not base.keys() >= {"architecture", "config", "os"}:
        raise FormatError(base_json, short_repr(base), "an object with architecture, config and os")
    container_config.check(base["config"] or {})  # it goes into the image as it is, so durations must be numbers
    architecture = parse_architecture("architecture", base["architecture"])
    base_image = open_base(replace(spec, architecture=architecture))
    _check_max_layers(spec, base_image)
    closure = _resolve_closure(spec, base_json, customisation_layer, store)
    layers = plan_layers(spec, closure, base_image, warnings, ignored=[base_json, customisation_layer])
    document = {
        "architecture": architecture,
        "config": base["config"],
        "os": base["os"],
        "store_dir": STORE_DIR,
        "from_image": spec.from_image,
        "store_layers": [list(map(str, layer.paths)) for layer in layers],
        "customisation_layer": str(customisation_layer),
        "repo_tag": f"{spec.name or ''}:{spec.tag or ''}",
        "created": _format_date(spec.created),
        "mtime": _format_date(spec.mtime),
        **{name: str(value) for name, value in asdict(spec.owner).items()},
    }
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    Conf.parse(text.encode())  # check that the streamer will accept the result
    return ConfResult(text, layers, len(base_image.layers), tuple(warnings))


def _check_max_layers(spec: Spec, base: BaseImage) -> None:
    """Raise `PlanError` in the words of nixpkgs' dockerTools if no layer is left for store paths."""
    used = 1 + len(base.layers)
    if not isinstance(spec.layering, Pipeline) and not used < spec.layer_limit:
        raise PlanError(
            f"usedLayers {used} layers to store 'fromImage' and 'extraCommands', but only "
            f"maxLayers={spec.layer_limit} were allowed. At least 1 layer is required to store contents."
        )


def _format_date(moment: datetime | None) -> str:
    return moment.isoformat() if moment else "now"


def _resolve_closure(spec: Spec, base_json: StorePath, customisation_layer: StorePath, store: Store) -> Closure:
    """Return the closure of the two paths, with all store paths of the image.

    If the layer contains a Nix database, that database also names the paths of the base image. The new layers need not
    contain those paths, so references that occur only in the database are left out.
    """
    roots = [base_json, customisation_layer]
    closure = Closure.resolve(roots, store.query)
    if not spec.include_nix_db:
        return closure
    infos = {info.path: info for info in closure}
    layer = infos[customisation_layer]
    content = _find_file(store, customisation_layer, b"layer.tar")
    hashes = _find_hashes_outside_database(content, {path.hash for path in infos})
    references = frozenset(path for path in layer.references if path.hash in hashes or path == layer.path)
    infos[layer.path] = replace(layer, references=references)
    return Closure.resolve(roots, lambda paths: {path: infos[path] for path in paths})


def _find_file(store: Store, path: StorePath, name: bytes) -> Extent:
    """Return the content of the file ``name`` in ``path``; the name is empty for ``path`` itself."""
    for node in store.nodes(path):
        if node.path == name and isinstance(node, Regular) and isinstance(node.content, Extent):
            return node.content
    raise NotFound(path, f"no file {name.decode()}", "one")


def _find_hashes_outside_database(tar: Extent, known: Collection[str]) -> Collection[str]:
    """Return those of the hashes ``known`` that occur in ``tar`` outside of its Nix database."""
    scanner = ReferenceScanner(lambda digits: digits in known)
    start = end = tar.length
    with open_reader(tar) as read:
        for header in read_headers(read, tar.length):
            if header.name.removeprefix(b"./") == DATABASE_PATH:
                start, end = header.start, header.start + header.size
    for offset, length in ((0, start), (end, tar.length - end)):
        transfer([tar.part(offset, length)], scanner.feed)
    scanner.close()
    return scanner.hashes
