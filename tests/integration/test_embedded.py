"""Paths that lamina adds get the names that real Nix gives them, and Nix copies from the embedded store."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.closures import Nix, Sample, has_self_reference_bug, shared_folder
from tests.integration.tools import ToolError
from tests.support.embedded_store import check

import lamina
from lamina.core.names import StorePath
from lamina.formats.content_address import Rewriter


def _file(location: Path) -> None:
    location.write_bytes(b"some content\n")


def _program(location: Path) -> None:
    location.write_bytes(b"#!/bin/sh\n")
    location.chmod(0o755)


def _others_program(location: Path) -> None:
    """Write a file that its group and others may execute and its owner may not; only the owner's permission counts."""
    location.write_bytes(b"#!/bin/sh\n")
    location.chmod(0o655)


def _empty_file(location: Path) -> None:
    location.touch()


def _empty_folder(location: Path) -> None:
    location.mkdir()


def _link(location: Path) -> None:
    location.symlink_to("/somewhere/else")


def _tree(location: Path) -> None:
    (location / "inner/deeper").mkdir(parents=True)
    (location / "link").symlink_to("inner/none")
    _program(location / "inner/run")
    for name in ("Z", "a", "a.b", "a-b", "größe", "with space", "new\nline", "\udcff\udcfe", "~nix~case~hack~1"):
        (location / "inner/deeper" / name).write_bytes(os.fsencode(name) * 1000)


MAKERS: list[Callable[[Path], None]] = [
    _file,
    _program,
    _others_program,
    _empty_file,
    _empty_folder,
    _link,
    _tree,
]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__.strip("_"))
def test_an_added_path_gets_the_name_that_nix_store_gives_it(
    nix: Nix, make: Callable[[Path], None], tmp_path: Path
) -> None:
    location = tmp_path / "thing-1.0+x?=y_z"
    make(location)
    added = lamina.add_path(location, embedded_store=tmp_path / "store")
    path = nix.call("nix-store", "--add", location).stdout.strip()
    assert str(added.info.path) == path
    (info,) = nix.path_infos(path, options=())
    assert (info["ca"], info["narSize"]) == (added.address, added.info.nar_size)
    assert check(tmp_path / "store") == {path}


def _make_content_addressed(nix: Nix, sample: Sample) -> dict[str, str]:
    """Let Nix make the closure content-addressed, and return the new path of each path."""
    done = nix.call("nix", "store", "make-content-addressed", "--json", "--recursive", sample.root)
    rewrites: dict[str, str] = json.loads(done.stdout)["rewrites"]
    assert set(rewrites) == set(sample.paths)
    return rewrites


def test_a_content_addressed_closure_keeps_its_names(nix: Nix, sample: Sample, tmp_path: Path) -> None:
    """Paths are added references first; the references and the name of each are computed only from its content."""
    rewrites = _make_content_addressed(nix, sample)
    ours: set[str] = set()
    misnamed = _find_misnamed(nix, sample)
    for old in sample.paths:
        added = lamina.add_path(rewrites[old], embedded_store=tmp_path / "store")
        ours.add(str(added.info.path))
        assert (str(added.info.path) != rewrites[old]) == (old in misnamed)
        if old not in misnamed:
            (info,) = nix.path_infos(rewrites[old], options=())
            assert {str(path) for path in added.info.references} == set(info["references"])
            assert (added.address, added.info.nar_size) == (info["ca"], info["narSize"])
    assert check(tmp_path / "store") == ours


def _find_misnamed(nix: Nix, sample: Sample) -> set[str]:
    """Return the paths that this Nix misnames because of its bug, and all paths that depend on them."""
    misnamed: set[str] = set()
    if has_self_reference_bug(nix):
        for path in sample.paths:
            references = set(nix.references(path))
            if path in references or references & misnamed:
                misnamed.add(path)
    return misnamed


def test_adding_a_path_equals_make_content_addressed(nix: Nix, small: Sample, tmp_path: Path) -> None:
    """The test replaces the hashes of the other paths; lamina replaces the hash of the path itself."""
    rewrites = _make_content_addressed(nix, small)
    misnamed, ours = _find_misnamed(nix, small), dict[str, str]()
    self_references = 0
    for old in map(StorePath.parse, small.paths):
        source = tmp_path / old.base
        nix.call("cp", "--recursive", "--no-dereference", old_path := str(old), source)
        nix.call("chmod", "--recursive", "u+w", source)
        others = {other for other in nix.references(old_path) if other != old_path}
        for other in others:
            _replace(source, StorePath.parse(other).hash, StorePath.parse(ours[other]).hash)
        added = lamina.add_path(source, embedded_store=tmp_path / "store")
        ours[old_path] = str(added.info.path)
        assert (ours[old_path] != rewrites[old_path]) == (old_path in misnamed)
        self_references += added.info.path in added.info.references
    assert self_references == 1
    assert check(tmp_path / "store") == set(ours.values())


def _replace(top: Path, old: str, new: str) -> None:
    for location in [top, *top.rglob("*")]:
        if location.is_symlink():
            target = os.readlink(location)
            if old in target:
                location.unlink()
                location.symlink_to(target.replace(old, new))
        elif location.is_file():
            rewriter = Rewriter(old.encode(), new.encode())
            location.write_bytes(rewriter.feed(location.read_bytes()) + rewriter.close())


@pytest.fixture
def folder(every_nix: Nix) -> Iterator[Path]:
    with shared_folder(every_nix) as shared:
        yield shared


def _copy_with_nix(nix: Nix, source: Path, target: Path, paths: tuple[str, ...], *flags: str) -> None:
    """Let Nix copy a closure to an empty store, and verify that store."""
    to = f"local?root={target}"
    nix.call("nix", "copy", "--from", f"file://{source}", "--to", to, *flags, paths[-1])
    verified = nix.call("nix-store", "--store", to, "--verify", "--check-contents")
    assert "was modified" not in verified.stderr
    assert "disappeared" not in verified.stderr
    assert set(nix.call("nix-store", "--store", to, "--query", "--requisites", paths[-1]).stdout.split()) == set(paths)


def test_nix_copies_from_the_embedded_store(every_nix: Nix, sample: Sample, folder: Path) -> None:
    fetched = lamina.fetch_paths([sample.root], embedded_store=folder / "store", store="/")
    assert {str(narinfo.info.path) for narinfo in fetched.paths} == check(folder / "store") == set(sample.paths)
    paths = tuple(str(narinfo.info.path) for narinfo in fetched.paths)
    _copy_with_nix(every_nix, folder / "store", folder / "root", paths, "--no-check-sigs")
    listed = every_nix.call("nix", "path-info", "--store", f"file://{folder / 'store'}", "--recursive", sample.root)
    assert set(listed.stdout.split()) == set(sample.paths)


def _add_note_and_tool(folder: Path, text: str) -> tuple[str, str]:
    """Add a note and a tool with a file of ``text``; ``{note}`` and ``{itself}`` in it stand for their paths."""
    (folder / "note").write_text("hello\n")
    note = lamina.add_path(folder / "note", embedded_store=folder / "store").info.path
    source = folder / f"{'0' * 32}-tool"
    source.mkdir()
    (source / "run").write_text(text.format(note=note, itself=f"/nix/store/{source.name}"))
    return str(note), str(lamina.add_path(source, embedded_store=folder / "store").info.path)


def test_nix_trusts_an_added_path(every_nix: Nix, folder: Path) -> None:
    """A content-addressed path needs no signature."""
    note, tool = _add_note_and_tool(folder, "cat {note}")
    _copy_with_nix(every_nix, folder / "store", folder / "root", (note, tool))
    assert (folder / f"root{tool}/run").read_text() == f"cat {note}"


def test_nix_trusts_an_added_path_that_refers_to_itself(nix: Nix, tmp_path: Path) -> None:
    note, tool = _add_note_and_tool(tmp_path, "cat {note}; {itself}/run {itself}/run")
    if has_self_reference_bug(nix):
        with pytest.raises(ToolError, match="hash mismatch importing path"):
            _copy_with_nix(nix, tmp_path / "store", tmp_path / "root", (note, tool))
        return
    _copy_with_nix(nix, tmp_path / "store", tmp_path / "root", (note, tool))
    assert (tmp_path / f"root{tool}/run").read_text() == f"cat {note}; {tool}/run {tool}/run"


def test_a_path_from_a_signed_cache_keeps_its_signature(every_nix: Nix, nix: Nix, small: Sample, folder: Path) -> None:
    nix.call("nix-store", "--generate-binary-cache-key", "test-5", folder / "secret", folder / "public")
    key = (folder / "public").read_text().strip()
    nix.call("nix", "copy", "--to", f"file://{folder / 'cache'}?secret-key={folder / 'secret'}", small.root)
    fetched = lamina.fetch_paths(
        [small.root], embedded_store=folder / "store", store=f"file://{folder / 'cache'}", trusted_keys=key
    )
    paths = tuple(str(narinfo.info.path) for narinfo in fetched.paths)
    assert set(paths) == check(folder / "store") == set(small.paths)
    _copy_with_nix(every_nix, folder / "store", folder / "root", paths, "--trusted-public-keys", key)


def test_described_paths_have_the_metadata_of_nix(nix: Nix, sample: Sample, tmp_path: Path) -> None:
    lamina.fetch_paths([sample.root], embedded_store=tmp_path / "store", store="/")
    expected = {info["path"]: info for info in nix.path_infos(sample.root)}
    for path in lamina.describe_paths(list(sample.paths), embedded_store=tmp_path / "store"):
        info = expected[str(path.known.info.path)]
        assert path.known.info.nar_hash.sri == info["narHash"]
        assert path.known.info.nar_size == info["narSize"]
        assert set(map(str, path.known.info.references)) == set(info["references"])
        assert f"/nix/store/{path.known.deriver}" == info.get("deriver", "/nix/store/")
        assert list(path.known.signatures) == info.get("signatures", [])
        assert path.known.address == info.get("ca", "")
