"""Against real Nix: the paths of content addresses, content-addressed closures, references, and exports."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from tests.integration.closures import Nix, Sample, names_itself_otherwise

from lamina.core.names import Digest, StorePath
from lamina.core.pathinfo import PathInfo
from lamina.formats import nar, nix_export
from lamina.formats.content_address import ContentAddress, ContentAddressCheck, ModuloHash, Rewriter
from lamina.formats.hash_scanner import scan_hashes
from lamina.system.walk import walk


def _info(found: Any) -> PathInfo:
    paths = frozenset(map(StorePath.parse, found["references"]))
    return PathInfo(StorePath.parse(found["path"]), Digest.parse(found["narHash"]), found["narSize"], paths)


def _check(nix: Nix, path: str) -> tuple[ContentAddress, PathInfo]:
    """The address and the info of a path in Nix's store, once its name and its content are what that says."""
    (found,) = nix.path_infos(path, options=("--derivation",) if path.endswith(".drv") else ())
    address, info, data = ContentAddress.parse(found["ca"]), _info(found), nix.dump(path)
    assert str(address) == found["ca"]
    assert address.matches(info)
    for size in (1 << 20, 1000):
        evidence = ContentAddressCheck(address, info)
        for start in range(0, len(data), size):
            evidence.feed(data[start : start + size])
        assert evidence.matches()
    spoilt = ContentAddressCheck(address, info)
    spoilt.feed(data[:-17] + b"\1" + data[-16:])
    assert not spoilt.matches()
    return address, info


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
def test_a_file_is_added_where_nix_adds_it(nix: Nix, algorithm: str, tmp_path: Path) -> None:
    place = tmp_path / "some-file"
    place.write_bytes(b"some content\n")
    path = nix.call("nix-store", "--add-fixed", algorithm, place).stdout.strip()
    expected = ContentAddress("fixed", algorithm, hashlib.new(algorithm, b"some content\n").digest())
    assert str(expected.make_path("some-file", (), self_reference=False)) == path
    assert _check(nix, path)[0] == expected


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
def test_a_folder_is_added_where_nix_adds_it(nix: Nix, algorithm: str, tmp_path: Path) -> None:
    place = tmp_path / "some-folder"
    (place / "inside").mkdir(parents=True)
    (place / "inside" / "file").write_text("x")
    (place / "link").symlink_to("inside/file")
    path = nix.call("nix-store", "--add-fixed", "--recursive", algorithm, place).stdout.strip()
    data = b"".join(piece if isinstance(piece, bytes) else b"x" for piece in nar.dump(walk(bytes(place))))
    expected = ContentAddress("fixed:r", algorithm, hashlib.new(algorithm, data).digest())
    assert str(expected.make_path("some-folder", (), self_reference=False)) == path
    assert _check(nix, path)[0] == expected
    if algorithm == "sha256":
        assert nix.call("nix-store", "--add", place).stdout.strip() == path


@pytest.mark.parametrize("text", ['"hello"', '"${builtins.toFile "other" "x"} ${builtins.toFile "more" "y"}"'])
def test_a_text_is_added_where_nix_adds_it(nix: Nix, text: str) -> None:
    path = nix.call("nix", "eval", "--raw", "--expr", f'builtins.toFile "text" {text}').stdout
    address, info = _check(nix, path)
    assert (address.method, len(info.references)) == ("text", text.count("toFile"))


def test_a_derivation_is_a_text(nix: Nix, small: Sample) -> None:
    deriver = nix.call("nix-store", "--query", "--deriver", small.root).stdout.strip()
    address, info = _check(nix, deriver)
    assert address.method == "text"
    assert info.references


def test_a_closure_is_rewritten_to_what_nix_makes_of_it(nix: Nix, small: Sample) -> None:
    """References first: each path's hashes are replaced, and its own, and it is called by what comes out."""
    done = nix.call("nix", "store", "make-content-addressed", "--json", "--recursive", small.root)
    rewrites: dict[str, str] = json.loads(done.stdout)["rewrites"]
    assert set(rewrites) == set(small.paths)
    self_reference = 0
    ours: dict[StorePath, StorePath] = {}
    for old in small.paths:
        (found,) = nix.path_infos(old, options=())
        info, data = _info(found), nix.dump(old)
        others = info.references - {info.path}
        for other in others:
            data = _rewritten(data, other, ours[other])
        modulo = ModuloHash(info.path.hash)
        modulo.feed(data)
        right, by_mistake = modulo.digests()
        address = ContentAddress("fixed:r", "sha256", by_mistake if names_itself_otherwise(nix) else right)
        new = address.make_path(info.path.name, {ours[other] for other in others}, info.path in info.references)
        assert str(new) == rewrites[old]
        assert _rewritten(data, info.path, new) == nix.dump(str(new))
        assert _check(nix, str(new))[0] == address
        ours[info.path] = new
        self_reference += info.path in info.references
    assert self_reference == 1


def _rewritten(data: bytes, old: StorePath, new: StorePath) -> bytes:
    rewriter = Rewriter(old.hash.encode(), new.hash.encode())
    pieces = (data[start : start + 4096] for start in range(0, len(data), 4096))
    return b"".join((*map(rewriter.feed, pieces), rewriter.close()))


def test_references_are_those_that_nix_found(nix: Nix, sample: Sample) -> None:
    """Of all that a build could have known of, its closure, Nix registered what it found."""
    hashes = {StorePath.parse(path).hash: path for path in sample.paths}
    for path in sample.paths:
        found = scan_hashes(nix.dump(path), hashes)
        assert {hashes[digits] for digits in found} == set(nix.references(path)), path


def _parsed(data: bytes) -> list[tuple[bytes, nix_export.ExportedPath]]:
    stream, passed = io.BytesIO(data), io.BytesIO()
    paths = []
    for found in nix_export.parse(stream.read, passed.write):
        paths.append((passed.getvalue(), found))
        passed.seek(0)
        passed.truncate()
    assert not stream.read()
    return paths


def test_an_export_of_nix_is_read_and_written(nix: Nix, sample: Sample, tmp_path: Path) -> None:
    script = 'out=$1; shift; exec nix-store --export "$@" > "$out"'
    nix.call("/bin/sh", "-c", script, "sh", tmp_path / "exported", *sample.paths)
    data = (tmp_path / "exported").read_bytes()
    paths = _parsed(data)
    assert [str(found.path) for _, found in paths] == list(sample.paths)
    for passed, found in paths:
        assert passed == nix.dump(str(found.path))
        assert set(map(str, found.references)) == set(nix.references(str(found.path)))
        assert found.deriver
    again = b"".join(nix_export.NEXT + passed + found.dump() for passed, found in paths) + nix_export.END
    assert again == data


def test_nix_imports_what_we_export(nix: Nix, small: Sample, tmp_path: Path) -> None:
    data = b""
    for path in small.paths:
        paths = frozenset(map(StorePath.parse, nix.references(path)))
        data += nix_export.NEXT + nix.dump(path) + nix_export.ExportedPath(StorePath.parse(path), paths).dump()
    (tmp_path / "exported").write_bytes(data + nix_export.END)
    store = ("--store", str(tmp_path / "store"))
    command = ("/bin/sh", "-c", 'in=$1; shift; exec nix-store --import "$@" < "$in"', "sh", tmp_path / "exported")
    assert nix.call(*command, *store).stdout.split() == list(small.paths)
    assert set(nix.call("nix-store", *store, "--query", "--requisites", small.root).stdout.split()) == set(small.paths)
    nix.call("nix-store", *store, "--verify-path", *small.paths)
