"""Images as nixpkgs plans them: for each a ``conf.json``, and the store that it refers to.

Nothing depends on the machine, so a recorded image ID stays valid.

    python -m tests.support.nixpkgs_confs

prints the image IDs of tests/support/nixpkgs_streamer.py, in the format of tests/golden/conf-ids.json.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support import nixpkgs_streamer
from tests.support.factories import File, Item, Link, path, write

_HELLO: Item = {
    b"bin": {b"hello": File(b"#!/bin/sh\necho hello\n", True), b"hi": Link(b"hello")},
    b"share": {b"doc": {}, b"hello.txt": File(b"hello\n" * 1000)},
}
_LIBRARY: Item = {
    b"lib": {b"libgreet.so.1": File(b"\x7fELF" + bytes(600), True), b"libgreet.so": Link(b"libgreet.so.1")}
}
_PLAIN = "1970-01-01T00:00:01+00:00"


def _plain(folder: Path) -> dict[str, Any]:
    put(folder, {"hello": _HELLO, "library": _LIBRARY})
    return conf(folder, [["library"], ["hello"]], config={"Cmd": ["/bin/hello"], "Env": ["LANG=C"]})


def _base_image(folder: Path) -> dict[str, Any]:
    below = _plain(folder)
    below["config"]["Env"] = ["FROM_PARENT=1", "LAST_LAYER=parent"]
    with (folder / "base.tar").open("wb") as out:
        nixpkgs_streamer.stream(below, out, folder)
    put(folder, {"other": {b"share": {b"x": File(b"x" * 511), b"y": File(b"y" * 512)}}})
    config = {"Env": ["FROM_CHILD=1", "LAST_LAYER=child"], "WorkingDir": "/"}
    return conf(folder, [["other"]], config=config, from_image="/base.tar", architecture="arm64")


def _long_names(folder: Path) -> dict[str, Any]:
    deep: Item = {b"f" * 200: File(b"long"), b"g" * 98: Link((b"t" * 99 + b"/") * 3)}
    for _ in range(4):
        deep = {b"d" * 90: deep, b"n" * 99: File(b"x", True)}
    put(folder, {"long": deep, "edge": {b"e" * length: File(b"e") for length in range(30, 60)}})
    return conf(folder, [["edge", "long"]], repo_tag=f"registry.example:5000/{'a' * 100}:{'t' * 100}")


def _non_ascii_names(folder: Path) -> dict[str, Any]:
    tree: Item = {
        "grüße".encode(): File("grüße".encode()),
        b"not-\xff-utf8": File(b"x"),
        "☃".encode() * 40: {b"\xfe": Link("\U0001f600".encode())},
        b"\xee\x80\x80": File(b"private use"),
        b"a b\nc": File(b"", True),
    }
    put(folder, {"names": tree})
    return conf(folder, [["names"]], config={"Labels": {"greeting": "grüße ☃"}}, uname="jürgen", gname="☃")


def _hard_links(folder: Path) -> dict[str, Any]:
    put(folder, {"linked": {b"a": File(b"one inode\n" * 100), b"z": {}}, "also": {b"other": File(b"x")}})
    linked, also = (folder / str(path(name)).lstrip("/") for name in ("linked", "also"))
    for link in (linked / "b", linked / "z" / "c", also / "d"):
        link.parent.chmod(0o755)
        os.link(linked / "a", link)
        link.parent.chmod(0o555)
    return conf(folder, [["linked", "also"]])


def _uid_1000(folder: Path) -> dict[str, Any]:
    owner = {"uid": "1000", "gid": "100", "uname": "user", "gname": "users"}
    dates = {"created": "2024-02-29T12:34:56+02:00", "mtime": "2001-09-09T01:46:40+00:00"}
    return {**_plain(folder), **owner, **dates, "repo_tag": "user/hello:1"}


CASES: Mapping[str, Callable[[Path], dict[str, Any]]] = {
    "base image": _base_image,
    "long names": _long_names,
    "non-ASCII names": _non_ascii_names,
    "hard links": _hard_links,
    "uid 1000": _uid_1000,
}


def put(folder: Path, trees: Mapping[str, Item]) -> None:
    """Write ``trees`` as store paths with these names, below ``folder``."""
    store = folder / "nix/store"
    store.mkdir(parents=True, exist_ok=True)
    for name, tree in trees.items():
        write(tree, os.fsencode(store / path(name).base))


def conf(folder: Path, layers: list[list[str]], **changes: Any) -> dict[str, Any]:
    """Return a conf as nixpkgs writes it; its customisation layer has a symlink, a folder's owner and a mode."""
    customisation = path("customisation-layer")
    layer_folder = folder / str(customisation).lstrip("/")
    layer_folder.mkdir(parents=True, exist_ok=True)
    layer = _customisation_layer()
    (layer_folder / "layer.tar").write_bytes(layer)
    (layer_folder / "checksum").write_text(hashlib.sha256(layer).hexdigest() + "\n")
    return {
        "architecture": "amd64",
        "config": {},
        "os": "linux",
        "store_dir": "/nix/store",
        "from_image": None,
        "store_layers": [[str(path(name)) for name in names] for names in layers],
        "customisation_layer": str(customisation),
        "repo_tag": "hello:latest",
        "created": _PLAIN,
        "mtime": _PLAIN,
        "uid": "0",
        "gid": "0",
        "uname": "root",
        "gname": "root",
    } | changes


def _customisation_layer() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, kind, mode, owner, target in (
            (".", tarfile.DIRTYPE, 0o755, 0, ""),
            ("./bin", tarfile.DIRTYPE, 0o755, 0, ""),
            ("./bin/hello", tarfile.SYMTYPE, 0o777, 0, f"{path('hello')}/bin/hello"),
            ("./tmp", tarfile.DIRTYPE, 0o1777, 1000, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.uid, member.linkname, member.mtime = kind, mode, owner, target, 315532800
            archive.addfile(member)
    return out.getvalue()


def write_case(name: str, folder: Path) -> Path:
    """Write the conf.json of a case, and its store, below ``folder``."""
    file = folder / "conf.json"
    file.write_text(json.dumps(CASES[name](folder)))
    return file


def _identity(name: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        text = write_case(name, Path(folder)).read_text()
        return nixpkgs_streamer.stream(json.loads(text), io.BytesIO(), Path(folder))


if __name__ == "__main__":
    json.dump({name: _identity(name) for name in CASES}, sys.stdout, indent=2)
    sys.stdout.write("\n")
