"""Against real Nix: what lamina adds is called what Nix calls it, and Nix copies from the embedded store."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.closures import Nix, Sample, names_itself_otherwise, seen_folder
from tests.integration.tools import ToolError
from tests.support.embedded_store import check

import lamina
from lamina.core.names import StorePath
from lamina.formats.content_address import Rewriter


def _file(place: Path) -> None:
    place.write_bytes(b"some content\n")


def _program(place: Path) -> None:
    place.write_bytes(b"#!/bin/sh\n")
    place.chmod(0o755)


def _others_program(place: Path) -> None:
    """Whether a file may be executed is up to what its owner may."""
    place.write_bytes(b"#!/bin/sh\n")
    place.chmod(0o655)


def _empty_file(place: Path) -> None:
    place.touch()


def _empty_folder(place: Path) -> None:
    place.mkdir()


def _link(place: Path) -> None:
    place.symlink_to("/somewhere/else")


def _tree(place: Path) -> None:
    (place / "inner/deeper").mkdir(parents=True)
    (place / "link").symlink_to("inner/none")
    _program(place / "inner/run")
    for name in ("Z", "a", "a.b", "a-b", "größe", "with space", "new\nline", "\udcff\udcfe", "~nix~case~hack~1"):
        (place / "inner/deeper" / name).write_bytes(os.fsencode(name) * 1000)


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
def test_what_is_added_is_called_as_nix_store_calls_it(nix: Nix, make: Callable[[Path], None], tmp_path: Path) -> None:
    place = tmp_path / "thing-1.0+x?=y_z"
    make(place)
    added = lamina.add_path(place, embedded_store=tmp_path / "store")
    path = nix.call("nix-store", "--add", place).stdout.strip()
    assert str(added.info.path) == path
    (known,) = nix.path_infos(path, options=())
    assert (known["ca"], known["narSize"]) == (added.address, added.info.nar_size)
    assert check(tmp_path / "store") == {path}


def _addressed(nix: Nix, sample: Sample) -> dict[str, str]:
    """By path what it is in a closure of content-addressed paths."""
    done = nix.call("nix", "store", "make-content-addressed", "--json", "--recursive", sample.root)
    rewrites: dict[str, str] = json.loads(done.stdout)["rewrites"]
    assert set(rewrites) == set(sample.paths)
    return rewrites


def test_a_content_addressed_closure_is_called_what_it_is(nix: Nix, sample: Sample, tmp_path: Path) -> None:
    """References first: each refers to what is there, and to itself, and its path is found out from that alone."""
    rewrites = _addressed(nix, sample)
    ours: set[str] = set()
    otherwise = _named_otherwise(nix, sample)
    for old in sample.paths:
        added = lamina.add_path(rewrites[old], embedded_store=tmp_path / "store")
        ours.add(str(added.info.path))
        assert (str(added.info.path) != rewrites[old]) == (old in otherwise)
        if old not in otherwise:
            (known,) = nix.path_infos(rewrites[old], options=())
            assert {str(path) for path in added.info.references} == set(known["references"])
            assert (added.address, added.info.nar_size) == (known["ca"], known["narSize"])
    assert check(tmp_path / "store") == ours


def _named_otherwise(nix: Nix, sample: Sample) -> set[str]:
    """The paths of a closure that this Nix names by its mistake, and all that need them."""
    found: set[str] = set()
    if names_itself_otherwise(nix):
        for path in sample.paths:
            references = set(nix.references(path))
            if path in references or references & found:
                found.add(path)
    return found


def test_a_path_becomes_what_make_content_addressed_makes_of_it(nix: Nix, small: Sample, tmp_path: Path) -> None:
    """Only the hashes of the others are replaced before; that of each path itself is lamina's work."""
    rewrites = _addressed(nix, small)
    otherwise, ours = _named_otherwise(nix, small), dict[str, str]()
    itself = 0
    for old in map(StorePath.parse, small.paths):
        source = tmp_path / old.base
        nix.call("cp", "--recursive", "--no-dereference", old_place := str(old), source)
        nix.call("chmod", "--recursive", "u+w", source)
        others = {other for other in nix.references(old_place) if other != old_place}
        for other in others:
            _replace(source, StorePath.parse(other).hash, StorePath.parse(ours[other]).hash)
        added = lamina.add_path(source, embedded_store=tmp_path / "store")
        ours[old_place] = str(added.info.path)
        assert (ours[old_place] != rewrites[old_place]) == (old_place in otherwise)
        itself += added.info.path in added.info.references
    assert itself == 1
    assert check(tmp_path / "store") == set(ours.values())


def _replace(top: Path, old: str, new: str) -> None:
    for place in [top, *top.rglob("*")]:
        if place.is_symlink():
            target = os.readlink(place)
            if old in target:
                place.unlink()
                place.symlink_to(target.replace(old, new))
        elif place.is_file():
            rewriter = Rewriter(old.encode(), new.encode())
            place.write_bytes(rewriter.feed(place.read_bytes()) + rewriter.close())


@pytest.fixture
def here(every_nix: Nix) -> Iterator[Path]:
    with seen_folder(every_nix) as made:
        yield made


def _copied(nix: Nix, source: Path, target: Path, paths: tuple[str, ...], *flags: str) -> None:
    """Nix copies a closure into an empty store, which afterwards is whole."""
    to = f"local?root={target}"
    nix.call("nix", "copy", "--from", f"file://{source}", "--to", to, *flags, paths[-1])
    verified = nix.call("nix-store", "--store", to, "--verify", "--check-contents")
    assert "was modified" not in verified.stderr
    assert "disappeared" not in verified.stderr
    assert set(nix.call("nix-store", "--store", to, "--query", "--requisites", paths[-1]).stdout.split()) == set(paths)


def test_nix_copies_from_the_embedded_store(every_nix: Nix, sample: Sample, here: Path) -> None:
    fetched = lamina.fetch_paths([sample.root], embedded_store=here / "store", store="/")
    assert {str(known.info.path) for known in fetched.paths} == check(here / "store") == set(sample.paths)
    paths = tuple(str(known.info.path) for known in fetched.paths)
    _copied(every_nix, here / "store", here / "root", paths, "--no-check-sigs")
    listed = every_nix.call("nix", "path-info", "--store", f"file://{here / 'store'}", "--recursive", sample.root)
    assert set(listed.stdout.split()) == set(sample.paths)


def _added(here: Path, text: str) -> tuple[str, str]:
    """A note, and a store path with a file that has ``text`` in it; ``{note}`` and ``{itself}`` are paths."""
    (here / "note").write_text("hello\n")
    note = lamina.add_path(here / "note", embedded_store=here / "store").info.path
    source = here / f"{'0' * 32}-tool"
    source.mkdir()
    (source / "run").write_text(text.format(note=note, itself=f"/nix/store/{source.name}"))
    return str(note), str(lamina.add_path(source, embedded_store=here / "store").info.path)


def test_nix_believes_what_was_added(every_nix: Nix, here: Path) -> None:
    """For a path that names its own content nobody has to sign."""
    note, tool = _added(here, "cat {note}")
    _copied(every_nix, here / "store", here / "root", (note, tool))
    assert (here / f"root{tool}/run").read_text() == f"cat {note}"


def test_nix_believes_what_was_added_and_mentions_itself(nix: Nix, tmp_path: Path) -> None:
    note, tool = _added(tmp_path, "cat {note}; {itself}/run {itself}/run")
    if names_itself_otherwise(nix):
        with pytest.raises(ToolError, match="hash mismatch importing path"):
            _copied(nix, tmp_path / "store", tmp_path / "root", (note, tool))
        return
    _copied(nix, tmp_path / "store", tmp_path / "root", (note, tool))
    assert (tmp_path / f"root{tool}/run").read_text() == f"cat {note}; {tool}/run {tool}/run"


def test_what_a_signed_cache_gave_is_still_signed(every_nix: Nix, nix: Nix, small: Sample, here: Path) -> None:
    nix.call("nix-store", "--generate-binary-cache-key", "test-5", here / "secret", here / "public")
    key = (here / "public").read_text().strip()
    nix.call("nix", "copy", "--to", f"file://{here / 'cache'}?secret-key={here / 'secret'}", small.root)
    fetched = lamina.fetch_paths(
        [small.root], embedded_store=here / "store", store=f"file://{here / 'cache'}", trusted_keys=key
    )
    paths = tuple(str(known.info.path) for known in fetched.paths)
    assert set(paths) == check(here / "store") == set(small.paths)
    _copied(every_nix, here / "store", here / "root", paths, "--trusted-public-keys", key)


def test_what_nix_knows_of_a_path_it_is_told_again(nix: Nix, sample: Sample, tmp_path: Path) -> None:
    lamina.fetch_paths([sample.root], embedded_store=tmp_path / "store", store="/")
    told = {found["path"]: found for found in nix.path_infos(sample.root)}
    for path in lamina.describe_paths(list(sample.paths), embedded_store=tmp_path / "store"):
        found = told[str(path.known.info.path)]
        assert path.known.info.nar_hash.sri == found["narHash"]
        assert path.known.info.nar_size == found["narSize"]
        assert set(map(str, path.known.info.references)) == set(found["references"])
        assert f"/nix/store/{path.known.deriver}" == found.get("deriver", "/nix/store/")
        assert list(path.known.signatures) == found.get("signatures", [])
        assert path.known.address == found.get("ca", "")
