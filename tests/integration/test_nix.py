"""Compared with real Nix: NAR hashes, references, the JSON of its versions, and the layers of real closures."""

import json
import subprocess
import tarfile
from pathlib import Path

import pytest
from tests.integration.closures import EXPRESSIONS, Nix, Sample
from tests.integration.images import machine_store
from tests.integration.tools import require

from lamina import layering
from lamina.core.closure import Closure
from lamina.core.names import Digest, StorePath
from lamina.core.nodes import Regular
from lamina.formats import closure_graph, nar
from lamina.formats.listing import FOLDER
from lamina.formats.tar import Owner
from lamina.layering import LayerPlan
from lamina.layers.layer import StoreLayer
from lamina.layers.packed import list_entries
from lamina.stores.local.graph import GraphStore
from lamina.system.transfer import hash_pieces, transfer


def _closure(sample: Sample) -> Closure:
    return Closure.resolve([StorePath.parse(sample.root)], machine_store().query)


def _layer(path: StorePath, closure: Closure) -> StoreLayer:
    return StoreLayer(LayerPlan((path,)), machine_store().nodes, Owner(0, 0, "root", "root"), 1)


def test_the_database_gives_the_closure_of_nix(nix: Nix, sample: Sample) -> None:
    closure = _closure(sample)
    assert {str(info.path) for info in closure} == set(sample.paths)
    for info in closure:
        assert set(map(str, info.references)) == set(nix.references(str(info.path)))


def test_the_nar_of_our_walk_has_the_hash_and_size_of_nix(nix: Nix, sample: Sample) -> None:
    hashes = nix.call("nix-store", "--query", "--hash", *sample.paths).stdout.split()
    sizes = nix.call("nix-store", "--query", "--size", *sample.paths).stdout.split()
    for path, nar_hash, size in zip(sample.paths, hashes, sizes, strict=True):
        blob = hash_pieces(nar.dump(machine_store().nodes(StorePath.parse(path))))
        assert (blob.digest, blob.size) == (Digest.parse(nar_hash), int(size)), path


def test_the_nar_of_nix_parses_to_the_nodes_of_our_walk(nix: Nix, awkward: Sample) -> None:
    for path in awkward.paths:
        dumped = [_without_content(node) for node in nar.parse_bytes(nix.dump(path))]
        assert dumped == [_without_content(node) for node in machine_store().nodes(StorePath.parse(path))], path


def _without_content(node: object) -> object:
    return (node.path, node.executable, node.size) if isinstance(node, Regular) else node


def test_a_layers_size_is_known_before_it_is_written(sample: Sample) -> None:
    closure = _closure(sample)
    for info in closure:
        packed = _layer(info.path, closure).pack()
        assert packed.size == hash_pieces(packed.pieces).size, info.path


@pytest.mark.parametrize("tool", ["tar", "bsdtar"])
def test_tar_lists_the_nodes_of_the_store(sample: Sample, tool: str, tmp_path: Path) -> None:
    program = require(tool)
    closure = _closure(sample)
    for info in closure:
        layer = _write_layer(info.path, closure, tmp_path)
        literal = ["--quoting-style=literal"] if tool == "tar" else []
        command = [program, "-tPf", str(layer), *literal]
        listed = subprocess.run(command, capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"})
        expected = _expected_names(info.path)
        if tool == "tar":
            assert listed.stdout.split(b"\n") == [*b"\n".join(expected).split(b"\n"), b""]
            assert not _find_warnings(listed.stderr)
        else:
            # bsdtar escapes unprintable characters, so only the number of lines and the printable lines are compared
            lines = listed.stdout.splitlines()
            assert len(lines) == len(expected)
            assert set(filter(_is_plain, expected)) <= set(lines)


def _write_layer(path: StorePath, closure: Closure, folder: Path) -> Path:
    with (folder / "layer.tar").open("wb") as file:
        transfer(_layer(path, closure).pack().pieces, file.write)
    return folder / "layer.tar"


def _expected_names(path: StorePath) -> list[bytes]:
    top = f"{path}".encode()
    names = [b"/nix/", b"/nix/store/"]
    for kind, inside, *_ in list_entries(machine_store().nodes(path)):
        name = top + b"/" + inside if inside else top
        names.append(name + b"/" if kind == FOLDER else name)
    return names


def _is_plain(name: bytes) -> bool:
    return name.isascii() and name.decode().isprintable() and b"\\" not in name


def _find_warnings(stderr: bytes) -> list[bytes]:
    """Return the warnings of GNU tar, except for ``hdrcharset``, which names need that are not UTF-8."""
    return [line for line in stderr.splitlines() if b"hdrcharset" not in line]


def test_tarfile_reads_the_bytes_of_every_file(awkward: Sample, tmp_path: Path) -> None:
    closure = _closure(awkward)
    for info in closure:
        with tarfile.open(_write_layer(info.path, closure, tmp_path)) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content:
                    assert content.read() == Path(member.name).read_bytes()


def test_path_info_of_this_nix_is_read(nix: Nix, small: Sample, tmp_path: Path) -> None:
    _assert_graph(nix, (), small, tmp_path)


def test_path_info_of_newer_nix_is_read(newer_nix: Nix, small: Sample, tmp_path: Path) -> None:
    formats = [("--json-format", "1"), ("--json-format", "2")] if newer_nix.version() >= (2, 33) else [()]
    for options in formats:
        _assert_graph(newer_nix, options, small, tmp_path)


def _assert_graph(nix: Nix, options: tuple[str, ...], sample: Sample, folder: Path) -> None:
    document = nix.path_info_json(sample.root, options=("--recursive", *options))
    file = folder / "graph.json"
    file.write_text(json.dumps(document))
    root = StorePath.parse(sample.root)
    assert Closure.resolve([root], GraphStore(file).query) == _closure(sample)


def test_export_references_graph_is_read(nix: Nix, small: Sample) -> None:
    expression = EXPRESSIONS / "graph.nix"
    built = nix.call("nix-build", "--no-out-link", "--argstr", "root", small.root, expression).stdout.strip()
    document = Path(built).read_bytes()
    assert Closure.of(closure_graph.parse(document)) == _closure(small)
    assert Closure.of(closure_graph.parse(json.dumps(json.loads(document)["graph"]))) == _closure(small)


def test_every_strategy_partitions_a_real_closure(sample: Sample) -> None:
    closure = _closure(sample)
    for strategy in layering.STRATEGIES:
        for max_layers in (2, 10, 100):
            plans = layering.plan(closure, max_layers=max_layers, strategy=strategy)
            paths = [path for plan in plans for path in plan.paths]
            assert sorted(paths) == [info.path for info in closure]
            assert len(plans) <= max_layers - 1
