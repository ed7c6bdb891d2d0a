"""What the derivations of nix/ run: the builders of a customisation layer, a conf.json, an archive; and the streamer.

Invariant: the standard library is enough, and what comes out depends on the derivation alone, not on the machine.

    python -I -B -c … VERB          in a build, with the derivation's attributes in $NIX_ATTRS_JSON_FILE
    python -I -B -c … stream CONF [-t NAME:TAG]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lamina import layering
from lamina.api.images import merge_images, stream_conf
from lamina.builder.prepare import make_root, open_base
from lamina.cli.exits import ending
from lamina.cli.output import stdout, tell
from lamina.cli.progress_lines import Lines
from lamina.compression.compressors import COMPRESSORS
from lamina.compression.streams import MAGIC_SIZE, compression
from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.pathinfo import PathInfo
from lamina.errors import FormatError, InvalidName, OutputError
from lamina.formats import graph
from lamina.formats.conf import Conf
from lamina.formats.headers import headers
from lamina.formats.mentions import Mentions
from lamina.images.export import Root, write_root
from lamina.images.readers import select
from lamina.images.readers.open import open_images
from lamina.images.readers.unpack import extent_of
from lamina.inputs.roots import content
from lamina.inputs.spec import NOW, Spec
from lamina.rootfs.database import PLACE
from lamina.stores.chained import FirstOf
from lamina.stores.local.folder import Folder
from lamina.stores.local.graph import GraphStore
from lamina.system.cpus import processors
from lamina.system.extents import reading
from lamina.system.output import Writable, whole_file
from lamina.system.tempdir import Workspace
from lamina.system.transfer import transfer

MACHINE = Path("/")
_MOST_JOBS = 64


@dataclass(frozen=True, slots=True)
class Build:
    """A build: the attributes it was given, its output, the closure of what it may name, and the processors it has."""

    given: Mapping[str, Any]
    output: Path
    infos: tuple[PathInfo, ...]
    file: Path
    jobs: int

    @classmethod
    def parse(cls, file: Path, cores: str) -> Build:
        """What Nix wrote into ``file`` under ``__structuredAttrs``; ``cores`` is its word on processors."""
        document = json.loads(file.read_bytes())
        infos = graph.parse(json.dumps(document["graph"])) if "graph" in document else ()
        jobs = int(cores) if cores.isdigit() and int(cores) else processors()
        return cls(document["given"], Path(document["outputs"]["out"]), infos, file, min(jobs, _MOST_JOBS))


def main() -> None:
    """Runs one verb; ends the process."""
    parser = argparse.ArgumentParser(prog="lamina", description="What the derivations of lamina's nix/ run.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, verb in VERBS.items():
        verbs.add_parser(name, help=verb.__doc__)
    stream = verbs.add_parser("stream", help="Writes the image of a conf.json to stdout.")
    stream.add_argument("conf", metavar="CONF", type=Path)
    stream.add_argument("-t", "--repo_tag", metavar="NAME:TAG", help="another name and tag for the image")
    arguments = parser.parse_args()
    sys.exit(ending(lambda: _run(arguments)))


def _run(arguments: argparse.Namespace) -> None:
    if arguments.verb == "stream":
        _stream(arguments.conf, arguments.repo_tag)
    else:
        VERBS[arguments.verb](_build())


def _build() -> Build:
    # In its sandbox, Nix 2.8 names the file as it is called outside; a builder starts in the folder that holds it.
    named = [os.environ.get("NIX_ATTRS_JSON_FILE", ""), ".attrs.json"]
    file = next(filter(os.path.isfile, named), None)
    if not file:
        raise InvalidName("NIX_ATTRS_JSON_FILE: got no such file, expected the attributes of a derivation")
    return Build.parse(Path(file), os.environ.get("NIX_BUILD_CORES", ""))


def customisation_layer(build: Build) -> None:
    """The root's layer.tar and its checksum."""
    spec = root_spec(build.given)
    store = FirstOf([GraphStore(build.file), Folder(MACHINE)])
    root = make_root(spec, [content(store, text) for text in spec.contents], store, open_base(spec))
    sys.stderr.write(root.script_output)
    _warn((*spec.warnings, *root.warnings))
    build.output.mkdir()
    with whole_file(build.output / "layer.tar") as write:
        measure = transfer(root.layer.pack().pieces, write)
    (build.output / "checksum").write_text(f"{measure.digest.hex}\n")


def root_spec(given: Mapping[str, Any]) -> Spec:
    """The part of a spec that the root is made of, from the attributes of dockerTools."""
    base = json.loads(Path(given["baseJson"]).read_bytes())
    words = {
        "config": base["config"],
        "architecture": base["architecture"],
        "contents": given["contents"],
        "extra_commands": given["extraCommands"],
        "fake_root_commands": given["fakeRootCommands"],
        "enable_fakechroot": given["enableFakechroot"],
        "include_nix_db": given["includeNixDB"],
        "from_image": given["baseImage"],
        "search_path": given["searchPath"],
        "sandbox": given["sandbox"],
    }
    return Spec.parse(words)


def conf(build: Build) -> None:
    """nixpkgs' conf.json: which store paths go to which layer, and all that is said of the image."""
    given = build.given
    base = json.loads(Path(given["baseJson"]).read_bytes())
    spec = Spec.parse(
        {
            "name": given["imageName"],
            "tag": StorePath.parse(str(build.output)).hash if given["tag"] is None else given["tag"],
            "config": base["config"],
            "architecture": base["architecture"],
            "from_image": given["baseImage"],
            "max_layers": given["maxLayers"],
            "layering": given["layering"],
            **{name: _date(given[name]) for name in ("created", "mtime")},
            **{name: given[name] for name in ("uid", "gid", "uname", "gname")},
        }
    )
    document = {
        "architecture": spec.architecture,
        **{key: base[key] for key in ("config", "os")},
        "store_dir": given["storeDir"],
        "from_image": given["baseImage"],
        "store_layers": _store_layers(build, spec),
        "customisation_layer": given["customisationLayer"],
        "repo_tag": f"{spec.name}:{spec.tag}",
        "created": _moment(spec.created),
        "mtime": _moment(spec.mtime),
        **{name: given[name] for name in ("uid", "gid", "uname", "gname")},
    }
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    sys.stderr.write(text)
    Conf.parse(text.encode())  # what the streamer would refuse is refused now
    build.output.write_text(text, encoding="utf-8")


def _store_layers(build: Build, spec: Spec) -> list[list[str]]:
    given = build.given
    base = open_base(spec)
    plans = layering.plan(
        _closure(build),
        max_layers=spec.max_layers,
        strategy=spec.layering,
        base_layers=len(base.layers),
        warn=lambda text: _warn([text]),
        ignored=[StorePath.parse(given["baseJson"]), StorePath.parse(given["customisationLayer"])],
    )
    if given["debug"]:
        for number, plan in enumerate(plans, len(base.layers) + 1):
            _say(f"layer {number}: {plan.reason}, {plan.nar_size} bytes")
    return [list(map(str, plan.paths)) for plan in plans]


def _closure(build: Build) -> Closure:
    """All that Nix has found in the config and in the root; but what a Nix database in the root says of a base image's
    paths makes none of them needed.
    """
    if not build.given["includeNixDB"] or not build.infos:
        return Closure.of(build.infos)
    infos = {info.path: info for info in build.infos}
    base, root = (StorePath.parse(build.given[name]) for name in ("baseJson", "customisationLayer"))
    named = _mentions(Path(str(root)) / "layer.tar", {path.hash for path in infos})
    wanted = frozenset(path for path in infos[root].references if path.hash in named or path == root)
    infos[root] = replace(infos[root], references=wanted)
    return Closure.resolve([base, root], lambda paths: {path: infos[path] for path in paths if path in infos})


def _mentions(layer: Path, known: Collection[str]) -> Collection[str]:
    """Those of the hashes ``known`` that a layer's tar has outside of its Nix database."""
    tar = extent_of(layer)
    found = Mentions(lambda digits: digits in known)
    with reading(tar) as read:
        held = [
            (header.start, header.start + header.size)
            for header in headers(read, tar.length)
            if header.name.removeprefix(b"./") == PLACE
        ]
    start, end = held[-1] if held else (tar.length, tar.length)
    for offset, length in ((0, start), (end, tar.length - end)):
        transfer([tar.part(offset, length)], found.feed)
    found.close()
    return found.hashes


def _date(text: str) -> str:
    """``text``, or what it means where it is @SECONDS, as a flake's ``lastModified`` is handed to GNU date."""
    if re.fullmatch("@[0-9]{1,11}", text):
        return datetime.fromtimestamp(int(text[1:]), UTC).isoformat()
    return text


def _moment(moment: datetime | None) -> str:
    return moment.isoformat() if moment else NOW


def archive(build: Build) -> None:
    """The image of a conf.json as a file."""
    stream = stream_conf(build.given["conf"], jobs=build.jobs)
    with _output(build, build.given["compressor"]) as (out, compressor):
        stream.write_to(out, compressor=compressor, progress=Lines(sys.stderr))


def merge(build: Build) -> None:
    """Several images in one file, compressed as the last one is."""
    images = [Path(image) for image in build.given["images"]]
    last = _compressor_of(images[-1]) if images else "none"
    with Workspace() as workspace, _output(build, last) as (out, compressor):
        merge_images([_readable(build, image, workspace.path) for image in images], output=out, compressor=compressor)


def export(build: Build) -> None:
    """An image's root as one flattened tar."""
    with Workspace() as workspace:
        image = _readable(build, Path(build.given["image"]), workspace.path)
        images, name = open_images(image), build.given["imageName"]
        # nixpkgs takes the first where it is told no name.
        found = select.named(images, name, image, "name one as imageName")[0] if name else images[0]
        root = Root(found, image)
        with whole_file(build.output) as write:
            write_root(root, write)


VERBS: Mapping[str, Callable[[Build], None]] = {
    "customisation-layer": customisation_layer,
    "conf": conf,
    "archive": archive,
    "merge": merge,
    "export": export,
}


def _stream(file: Path, repo_tag: str | None) -> None:
    with stdout() as out:
        stream = stream_conf(file, repo_tag=repo_tag)
        _warn(stream.warnings)
        stream.write_to(out, progress=Lines(sys.stderr))


@contextlib.contextmanager
def _output(build: Build, compressor: str) -> Iterator[tuple[Writable, str]]:
    """Where an image is to be written, and the compressor that is left to do."""
    with build.output.open("wb") as file:
        if compressor != "zstd":
            yield file, compressor
            return
        # Not every Python has zstd. What the program's threads write does not depend on how many there are.
        command = [build.given["program"], "--quiet", f"-T{build.jobs}"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file) as process:
            if process.stdin:
                yield process.stdin, "none"
    if process.returncode:
        raise OutputError(f"zstd: got exit status {process.returncode}, expected 0")


def _readable(build: Build, image: Path, folder: Path) -> Path:
    """``image``, or a file in ``folder`` with what it holds where that takes zstd to read."""
    if _compressor_of(image) != "zstd":
        return image
    unpacked = folder / image.name
    unpack = [build.given["program"], "--quiet", "--decompress", "-o", str(unpacked), str(image)]
    if subprocess.run(unpack, check=False).returncode:
        raise FormatError(f"{image}: got broken zstd, expected an image")
    return unpacked


def _compressor_of(file: Path) -> str:
    """The compressor that makes what ``file`` is, where there is one for it."""
    with file.open("rb") as opened:
        name = compression(opened.read(MAGIC_SIZE))
    return name if name in COMPRESSORS else "none"


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        _say(f"warning: {warning}")


def _say(text: str) -> None:
    tell(f"lamina: {text}")
