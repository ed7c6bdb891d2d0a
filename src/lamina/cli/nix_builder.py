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
from lamina.cli.exits import run_to_exit_code
from lamina.cli.output import print_stderr, stdout
from lamina.cli.progress_lines import ProgressLines
from lamina.compression.compressors import COMPRESSORS
from lamina.compression.streams import MAGIC_SIZE, detect_image_compression
from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.pathinfo import PathInfo
from lamina.errors import FormatError, InvalidArgument, OutputError
from lamina.formats import closure_graph
from lamina.formats.conf import Conf
from lamina.formats.reference_scanner import ReferenceScanner
from lamina.formats.tar_reader import read_headers
from lamina.images.export import ExportedRoot, write_root
from lamina.images.readers import select
from lamina.images.readers.open import open_images
from lamina.images.readers.unpack import get_extent
from lamina.inputs.roots import resolve_root
from lamina.inputs.spec import NOW, Spec
from lamina.rootfs.database import DATABASE_PATH
from lamina.stores.chained import ChainedStore
from lamina.stores.local.folder import FolderStore
from lamina.stores.local.graph import GraphStore
from lamina.system.cpus import cpu_count
from lamina.system.extents import open_reader
from lamina.system.output import Writable, atomic_write
from lamina.system.tempdir import TempDir
from lamina.system.transfer import transfer

HOST_ROOT = Path("/")
_MAX_JOBS = 64


@dataclass(frozen=True, slots=True)
class Derivation:
    """A build: the attributes it was given, its output, the closure of what it may name, and the processors it has."""

    attributes: Mapping[str, Any]
    output: Path
    infos: tuple[PathInfo, ...]
    file: Path
    jobs: int

    @classmethod
    def parse(cls, file: Path, cores: str) -> Derivation:
        """What Nix wrote into ``file`` under ``__structuredAttrs``; ``cores`` is its word on processors."""
        document = json.loads(file.read_bytes())
        infos = closure_graph.parse(json.dumps(document["graph"])) if "graph" in document else ()
        jobs = int(cores) if cores.isdigit() and int(cores) else cpu_count()
        return cls(document["given"], Path(document["outputs"]["out"]), infos, file, min(jobs, _MAX_JOBS))


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
    sys.exit(run_to_exit_code(lambda: _run(arguments)))


def _run(arguments: argparse.Namespace) -> None:
    if arguments.verb == "stream":
        _stream(arguments.conf, arguments.repo_tag)
    else:
        VERBS[arguments.verb](_read_derivation())


def _read_derivation() -> Derivation:
    # In its sandbox, Nix 2.8 names the file as it is called outside; a builder starts in the folder that holds it.
    named = [os.environ.get("NIX_ATTRS_JSON_FILE", ""), ".attrs.json"]
    file = next(filter(os.path.isfile, named), None)
    if not file:
        raise InvalidArgument("NIX_ATTRS_JSON_FILE: got no such file, expected the attributes of a derivation")
    return Derivation.parse(Path(file), os.environ.get("NIX_BUILD_CORES", ""))


def customisation_layer(derivation: Derivation) -> None:
    """The root's layer.tar and its checksum."""
    spec = root_spec(derivation.attributes)
    store = ChainedStore([GraphStore(derivation.file), FolderStore(HOST_ROOT)])
    root = make_root(spec, [resolve_root(store, text) for text in spec.contents], store, open_base(spec))
    sys.stderr.write(root.script_output)
    _warn((*spec.warnings, *root.warnings))
    derivation.output.mkdir()
    with atomic_write(derivation.output / "layer.tar") as write:
        blob_info = transfer(root.layer.pack().pieces, write)
    (derivation.output / "checksum").write_text(f"{blob_info.digest.hex}\n")


def root_spec(attributes: Mapping[str, Any]) -> Spec:
    """The part of a spec that the root is made of, from the attributes of dockerTools."""
    base = json.loads(Path(attributes["baseJson"]).read_bytes())
    words = {
        "config": base["config"],
        "architecture": base["architecture"],
        "contents": attributes["contents"],
        "extra_commands": attributes["extraCommands"],
        "fake_root_commands": attributes["fakeRootCommands"],
        "enable_fakechroot": attributes["enableFakechroot"],
        "include_nix_db": attributes["includeNixDB"],
        "from_image": attributes["baseImage"],
        "search_path": attributes["searchPath"],
        "sandbox": attributes["sandbox"],
    }
    return Spec.parse(words)


def conf(derivation: Derivation) -> None:
    """nixpkgs' conf.json: which store paths go to which layer, and all that is said of the image."""
    attributes = derivation.attributes
    base = json.loads(Path(attributes["baseJson"]).read_bytes())
    spec = Spec.parse(
        {
            "name": attributes["imageName"],
            "tag": StorePath.parse(str(derivation.output)).hash if attributes["tag"] is None else attributes["tag"],
            "config": base["config"],
            "architecture": base["architecture"],
            "from_image": attributes["baseImage"],
            "max_layers": attributes["maxLayers"],
            "layering": attributes["layering"],
            **{name: _resolve_date(attributes[name]) for name in ("created", "mtime")},
            **{name: attributes[name] for name in ("uid", "gid", "uname", "gname")},
        }
    )
    document = {
        "architecture": spec.architecture,
        **{key: base[key] for key in ("config", "os")},
        "store_dir": attributes["storeDir"],
        "from_image": attributes["baseImage"],
        "store_layers": _plan_store_layers(derivation, spec),
        "customisation_layer": attributes["customisationLayer"],
        "repo_tag": f"{spec.name}:{spec.tag}",
        "created": _format_date(spec.created),
        "mtime": _format_date(spec.mtime),
        **{name: attributes[name] for name in ("uid", "gid", "uname", "gname")},
    }
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    sys.stderr.write(text)
    Conf.parse(text.encode())  # what the streamer would refuse is refused now
    derivation.output.write_text(text, encoding="utf-8")


def _plan_store_layers(derivation: Derivation, spec: Spec) -> list[list[str]]:
    attributes = derivation.attributes
    base = open_base(spec)
    plans = layering.plan(
        _read_closure(derivation),
        max_layers=spec.max_layers,
        strategy=spec.layering,
        base_layers=len(base.layers),
        warn=lambda text: _warn([text]),
        ignored=[StorePath.parse(attributes["baseJson"]), StorePath.parse(attributes["customisationLayer"])],
    )
    if attributes["debug"]:
        for number, plan in enumerate(plans, len(base.layers) + 1):
            _print_message(f"layer {number}: {plan.reason}, {plan.nar_size} bytes")
    return [list(map(str, plan.paths)) for plan in plans]


def _read_closure(derivation: Derivation) -> Closure:
    """All that Nix has found in the config and in the root; but what a Nix database in the root says of a base image's
    paths makes none of them needed.
    """
    if not derivation.attributes["includeNixDB"] or not derivation.infos:
        return Closure.of(derivation.infos)
    infos = {info.path: info for info in derivation.infos}
    base, root = (StorePath.parse(derivation.attributes[name]) for name in ("baseJson", "customisationLayer"))
    named = _hashes_outside_database(Path(str(root)) / "layer.tar", {path.hash for path in infos})
    wanted = frozenset(path for path in infos[root].references if path.hash in named or path == root)
    infos[root] = replace(infos[root], references=wanted)
    return Closure.resolve([base, root], lambda paths: {path: infos[path] for path in paths if path in infos})


def _hashes_outside_database(layer: Path, known: Collection[str]) -> Collection[str]:
    """Those of the hashes ``known`` that a layer's tar has outside of its Nix database."""
    tar = get_extent(layer)
    found = ReferenceScanner(lambda digits: digits in known)
    with open_reader(tar) as read:
        held = [
            (header.start, header.start + header.size)
            for header in read_headers(read, tar.length)
            if header.name.removeprefix(b"./") == DATABASE_PATH
        ]
    start, end = held[-1] if held else (tar.length, tar.length)
    for offset, length in ((0, start), (end, tar.length - end)):
        transfer([tar.part(offset, length)], found.feed)
    found.close()
    return found.hashes


def _resolve_date(text: str) -> str:
    """``text``, or what it means where it is @SECONDS, as a flake's ``lastModified`` is handed to GNU date."""
    if re.fullmatch("@[0-9]{1,11}", text):
        return datetime.fromtimestamp(int(text[1:]), UTC).isoformat()
    return text


def _format_date(moment: datetime | None) -> str:
    return moment.isoformat() if moment else NOW


def archive(derivation: Derivation) -> None:
    """The image of a conf.json as a file."""
    stream = stream_conf(derivation.attributes["conf"], jobs=derivation.jobs)
    with _open_compressed(derivation, derivation.attributes["compressor"]) as (out, compressor):
        stream.write_to(out, compressor=compressor, progress=ProgressLines(sys.stderr))


def merge(derivation: Derivation) -> None:
    """Several images in one file, compressed as the last one is."""
    images = [Path(image) for image in derivation.attributes["images"]]
    last = _detect_compressor(images[-1]) if images else "none"
    with TempDir() as workspace, _open_compressed(derivation, last) as (out, compressor):
        merge_images(
            [_decompress_zstd(derivation, image, workspace.path) for image in images], output=out, compressor=compressor
        )


def export(derivation: Derivation) -> None:
    """An image's root as one flattened tar."""
    with TempDir() as workspace:
        image = _decompress_zstd(derivation, Path(derivation.attributes["image"]), workspace.path)
        images, name = open_images(image), derivation.attributes["imageName"]
        # nixpkgs takes the first where it is told no name.
        found = select.select_by_name(images, name, image, "name one as imageName")[0] if name else images[0]
        root = ExportedRoot(found, image)
        with atomic_write(derivation.output) as write:
            write_root(root, write)


VERBS: Mapping[str, Callable[[Derivation], None]] = {
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
        stream.write_to(out, progress=ProgressLines(sys.stderr))


@contextlib.contextmanager
def _open_compressed(derivation: Derivation, compressor: str) -> Iterator[tuple[Writable, str]]:
    """Where an image is to be written, and the compressor that is left to do."""
    with derivation.output.open("wb") as file:
        if compressor != "zstd":
            yield file, compressor
            return
        # Not every Python has zstd. What the program's threads write does not depend on how many there are.
        command = [derivation.attributes["program"], "--quiet", f"-T{derivation.jobs}"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file) as process:
            if process.stdin:
                yield process.stdin, "none"
    if process.returncode:
        raise OutputError(f"zstd: got exit status {process.returncode}, expected 0")


def _decompress_zstd(derivation: Derivation, image: Path, folder: Path) -> Path:
    """``image``, or a file in ``folder`` with what it holds where that takes zstd to read."""
    if _detect_compressor(image) != "zstd":
        return image
    unpacked = folder / image.name
    unpack = [derivation.attributes["program"], "--quiet", "--decompress", "-o", str(unpacked), str(image)]
    if subprocess.run(unpack, check=False).returncode:
        raise FormatError(f"{image}: got broken zstd, expected an image")
    return unpacked


def _detect_compressor(file: Path) -> str:
    """The compressor that makes what ``file`` is, where there is one for it."""
    with file.open("rb") as opened:
        name = detect_image_compression(opened.read(MAGIC_SIZE))
    return name if name in COMPRESSORS else "none"


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        _print_message(f"warning: {warning}")


def _print_message(text: str) -> None:
    print_stderr(f"lamina: {text}")
