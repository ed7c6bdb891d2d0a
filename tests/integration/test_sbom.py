"""Bills of materials of real closures, and names as real Nix splits them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.closures import Nix, Sample
from tests.support.package_names import DERIVATION_NAMES
from tests.support.sbom import list_properties, read_cyclonedx, read_spdx

import lamina


def test_the_table_of_names_is_what_nix_says(nix: Nix) -> None:
    expression = f"map builtins.parseDrvName (builtins.fromJSON {json.dumps(json.dumps(list(DERIVATION_NAMES)))})"
    found = json.loads(nix.call("nix-instantiate", "--eval", "--strict", "--json", "--expr", expression).stdout)
    assert [(item["name"], item["version"]) for item in found] == list(DERIVATION_NAMES.values())
    assert len(found) >= 50


def test_the_components_are_what_nix_says_of_the_closure(nix: Nix, sample: Sample) -> None:
    bom = read_cyclonedx(lamina.sbom(sample.root, store="/").document)
    components = {item.bom_ref.value: item for item in bom.components}
    assert components.keys() == set(sample.paths)
    references = {item.ref.value: {inner.ref.value for inner in item.dependencies} for item in bom.dependencies}
    for info in nix.path_infos(sample.root):
        path = info["path"]
        properties = list_properties(components[path])
        assert properties["nix:store_path"] == [path]
        assert properties["nix:narinfo:nar_size"] == [str(info["narSize"])]
        assert properties["nix:narinfo:references"] == [" ".join(sorted(info["references"]))]
        assert properties.get("nix:narinfo:deriver", []) == [info["deriver"]] * ("deriver" in info)
        assert references[path] == set(info["references"]) - {path}


def test_the_hash_is_that_of_the_nar(nix: Nix, small: Sample) -> None:
    parsed = read_spdx(lamina.sbom(small.root, store="/", format="spdx").document)
    hashes = {item.external_references[1].locator: item.checksums[0].value for item in parsed.packages[1:]}
    assert hashes == {path: nix.hash(path) for path in small.paths}


READERS: dict[Any, Callable[[bytes], object]] = {"cyclonedx": read_cyclonedx, "spdx": read_spdx}


@pytest.mark.parametrize("kind", READERS)
def test_documents_of_a_closure_and_of_its_image_are_valid_and_the_same_each_time(
    kind: Any, sample: Sample, tmp_path: Path
) -> None:
    image = tmp_path / "image.tar"
    lamina.build_layered_image(closure=[sample.root], name="sample", tag="1", store="/", output=image)
    for make, source in ((lamina.sbom, sample.root), (lamina.image_sbom, image)):
        first, second = (make(source, format=kind, store="/") for _ in range(2))
        assert first.document == second.document
        assert set(map(str, first.components)) == set(sample.paths)
        READERS[kind](first.document)
