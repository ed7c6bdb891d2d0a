"""Content addresses, content-addressed closures, references and exports, compared with real Nix."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest
from tests.integration.closures import Nix, Sample, has_self_reference_bug

from lamina.core.names import Digest, StorePath
from lamina.core.pathinfo import PathInfo
from lamina.formats import nar, nix_export
from lamina.formats.content_address import ContentAddress, ContentAddressCheck, ModuloHash, Rewriter
from lamina.formats.hash_scanner import HashScanner
from lamina.system.walk import walk


def _parse_info(document: Any) -> PathInfo:
    references = frozenset(map(StorePath.parse, document["references"]))
    return PathInfo(
        StorePath.parse(document["path"]), Digest.parse(document["narHash"]), document["narSize"], references
    )


def _check(nix: Nix, path: str) -> tuple[ContentAddress, PathInfo]:
    """Return the content address and the info of a path in Nix's store, after checking its name and its content."""
    (document,) = nix.path_infos(path, options=("--derivation",) if path.endswith(".drv") else ())
    address, info, data = ContentAddress.parse(document["ca"]), _parse_info(document), nix.dump(path)
    assert str(address) == document["ca"]
    assert address.matches(info)
    for size in (1 << 20, 1000):
        check = ContentAddressCheck(address, info)
        for start in range(0, len(data), size):
            check.feed(data[start : start + size])
        assert check.matches()
    changed_check = ContentAddressCheck(address, info)
    changed_check.feed(data[:-17] + b"\1" + data[-16:])
    assert not changed_check.matches()
    return address, info


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
def test_a_file_gets_the_store_path_that_nix_gives_it(nix: Nix, algorithm: str, tmp_path: Path) -> None:
    source = tmp_path / "some-file"
    source.write_bytes(b"some content\n")
    path = nix.call("nix-store", "--add-fixed", algorithm, source).stdout.strip()
    expected = ContentAddress("fixed", algorithm, hashlib.new(algorithm, b"some content\n").digest())
    assert str(expected.make_path("some-file", (), self_reference=False)) == path
    assert _check(nix, path)[0] == expected


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
def test_a_folder_gets_the_store_path_that_nix_gives_it(nix: Nix, algorithm: str, tmp_path: Path) -> None:
    source = tmp_path / "some-folder"
    (source / "inside").mkdir(parents=True)
    (source / "inside" / "file").write_text("x")
    (source / "link").symlink_to("inside/file")
    path = nix.call("nix-store", "--add-fixed", "--recursive", algorithm, source).stdout.strip()
    data = b"".join(piece if isinstance(piece, bytes) else b"x" for piece in nar.dump(walk(bytes(source))))
    expected = ContentAddress("fixed:r", algorithm, hashlib.new(algorithm, data).digest())
    assert str(expected.make_path("some-folder", (), self_reference=False)) == path
    assert _check(nix, path)[0] == expected
    if algorithm == "sha256":
        assert nix.call("nix-store", "--add", source).stdout.strip() == path


@pytest.mark.parametrize("text", ['"hello"', '"${builtins.toFile "other" "x"} ${builtins.toFile "more" "y"}"'])
def test_a_text_gets_the_store_path_that_nix_gives_it(nix: Nix, text: str) -> None:
    path = nix.call("nix", "eval", "--raw", "--expr", f'builtins.toFile "text" {text}').stdout
    address, info = _check(nix, path)
    assert (address.method, len(info.references)) == ("text", text.count("toFile"))


def test_a_derivation_is_addressed_as_text(nix: Nix, small: Sample) -> None:
    deriver = nix.call("nix-store", "--query", "--deriver", small.root).stdout.strip()
    address, info = _check(nix, deriver)
    assert address.method == "text"
    assert info.references


def test_rewriting_a_closure_gives_the_store_paths_that_nix_gives(nix: Nix, small: Sample) -> None:
    """Paths are rewritten references first: the hashes in each path are replaced, and the result gives its new name."""
    done = nix.call("nix", "store", "make-content-addressed", "--json", "--recursive", small.root)
    rewrites: dict[str, str] = json.loads(done.stdout)["rewrites"]
    assert set(rewrites) == set(small.paths)
    self_reference = 0
    ours: dict[StorePath, StorePath] = {}
    for old in small.paths:
        (document,) = nix.path_infos(old, options=())
        info, data = _parse_info(document), nix.dump(old)
        others = info.references - {info.path}
        for other in others:
            data = _rewrite(data, other, ours[other])
        modulo = ModuloHash(info.path.hash)
        modulo.feed(data)
        correct, with_bug = modulo.digests()
        address = ContentAddress("fixed:r", "sha256", with_bug if has_self_reference_bug(nix) else correct)
        new = address.make_path(info.path.name, {ours[other] for other in others}, info.path in info.references)
        assert str(new) == rewrites[old]
        assert _rewrite(data, info.path, new) == nix.dump(str(new))
        assert _check(nix, str(new))[0] == address
        ours[info.path] = new
        self_reference += info.path in info.references
    assert self_reference == 1


def _rewrite(data: bytes, old: StorePath, new: StorePath) -> bytes:
    rewriter = Rewriter(old.hash.encode(), new.hash.encode())
    pieces = (data[start : start + 4096] for start in range(0, len(data), 4096))
    return b"".join((*map(rewriter.feed, pieces), rewriter.close()))


def test_references_are_those_that_nix_found(nix: Nix, sample: Sample) -> None:
    """Nix searches an output for the hashes of its closure, and registers those that it finds."""
    hashes = {StorePath.parse(path).hash: path for path in sample.paths}
    for path in sample.paths:
        scanner = HashScanner(hashes)
        scanner.feed(nix.dump(path))
        assert {hashes[digits] for digits in scanner.found} == set(nix.references(path)), path


def _parse(data: bytes) -> list[tuple[bytes, nix_export.ExportedPath]]:
    stream, nar_data = io.BytesIO(data), io.BytesIO()
    paths = []
    for exported in nix_export.parse(stream.read, nar_data.write):
        paths.append((nar_data.getvalue(), exported))
        nar_data.seek(0)
        nar_data.truncate()
    assert not stream.read()
    return paths


def test_an_export_of_nix_is_parsed_and_dumped_unchanged(nix: Nix, sample: Sample, tmp_path: Path) -> None:
    script = 'out=$1; shift; exec nix-store --export "$@" > "$out"'
    nix.call("/bin/sh", "-c", script, "sh", tmp_path / "exported", *sample.paths)
    data = (tmp_path / "exported").read_bytes()
    paths = _parse(data)
    assert [str(exported.path) for _, exported in paths] == list(sample.paths)
    for nar_bytes, exported in paths:
        assert nar_bytes == nix.dump(str(exported.path))
        assert set(map(str, exported.references)) == set(nix.references(str(exported.path)))
        assert exported.deriver
    again = b"".join(nix_export.NEXT + nar_bytes + exported.dump() for nar_bytes, exported in paths) + nix_export.END
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
