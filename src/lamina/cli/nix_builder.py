"""The builders of the derivations in nix/, such as those of a customisation layer, a conf.json and an archive.

Invariant: this module needs only the standard library, and its output depends on the derivation alone, not on the
machine. The verb ``stream`` runs outside of builds, in the script that ``streamLayeredImage`` returns.

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
from lamina.cli.output import open_stdout, print_stderr
from lamina.cli.progress_lines import ProgressLines
from lamina.compression.compressors import COMPRESSORS
from lamina.compression.streams import MAGIC_SIZE, detect_compression
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
from lamina.inputs.parsers import NOW
from lamina.inputs.roots import resolve_root
from lamina.inputs.spec import Spec
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
    """The inputs of one build.

    Attributes:
        attributes: The arguments that nix/derive.nix passes on.
        output: Where the output of the build goes.
        infos: The store paths that the output may refer to, with their references; empty if the derivation asks for
            no graph.
        file: The JSON file of the attributes, which holds the graph too.
        jobs: How many processors the build may use.
    """

    attributes: Mapping[str, Any]
    output: Path
    infos: tuple[PathInfo, ...]
    file: Path
    jobs: int

    @classmethod
    def parse(cls, file: Path, cores: str) -> Derivation:
        """Parse ``file``, which Nix writes under ``__structuredAttrs``.

        ``cores`` is the value of ``NIX_BUILD_CORES``; 0, or anything but a number, means all processors. At most
        `_MAX_JOBS` are used.
        """
        document = json.loads(file.read_bytes())
        infos = closure_graph.parse(json.dumps(document["graph"])) if "graph" in document else ()
        jobs = int(cores) if cores.isdigit() and int(cores) else cpu_count()
        return cls(document["given"], Path(document["outputs"]["out"]), infos, file, min(jobs, _MAX_JOBS))


def main() -> None:
    """Run one verb and end the process with its exit code."""
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
    # In its sandbox, Nix 2.8 sets the variable to the path outside of the sandbox, which does not exist there. The
    # working directory of a builder is the folder that holds the file, so the second name finds it.
    candidates = [os.environ.get("NIX_ATTRS_JSON_FILE", ""), ".attrs.json"]
    file = next(filter(os.path.isfile, candidates), None)
    if not file:
        raise InvalidArgument("NIX_ATTRS_JSON_FILE", got="no such file", expected="the attributes of a derivation")
    return Derivation.parse(Path(file), os.environ.get("NIX_BUILD_CORES", ""))


def write_customisation_layer(derivation: Derivation) -> None:
    """The root's layer.tar and its checksum."""
    spec = parse_root_spec(derivation.attributes)
    store = ChainedStore([GraphStore(derivation.file), FolderStore(HOST_ROOT)])
    root = make_root(spec, [resolve_root(store, text) for text in spec.contents], store, open_base(spec))
    sys.stderr.write(root.script_output)
    _warn((*spec.warnings, *root.warnings))
    derivation.output.mkdir()
    with atomic_write(derivation.output / "layer.tar") as out:
        blob_info = transfer(root.layer.pack().pieces, out.write)
    (derivation.output / "checksum").write_text(f"{blob_info.digest.hex}\n")


def parse_root_spec(attributes: Mapping[str, Any]) -> Spec:
    """Translate the attributes of dockerTools into a spec, as far as it concerns the customisation layer."""
    base = json.loads(Path(attributes["baseJson"]).read_bytes())
    arguments = {
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
    return Spec.parse(arguments)


def write_conf(derivation: Derivation) -> None:
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
    Conf.parse(text.encode())  # fails the build now on what the streamer would refuse
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
    """Return the closure of the store paths that Nix found in the config and in the customisation layer.

    If the layer contains a Nix database, that database also names the paths of the base image. The image needs none of
    them on that account, so references that occur in the database alone are left out.
    """
    if not derivation.attributes["includeNixDB"] or not derivation.infos:
        return Closure.of(derivation.infos)
    infos = {info.path: info for info in derivation.infos}
    base, root = (StorePath.parse(derivation.attributes[name]) for name in ("baseJson", "customisationLayer"))
    hashes = _find_hashes_outside_database(Path(str(root)) / "layer.tar", {path.hash for path in infos})
    references = frozenset(path for path in infos[root].references if path.hash in hashes or path == root)
    infos[root] = replace(infos[root], references=references)
    return Closure.resolve([base, root], lambda paths: {path: infos[path] for path in paths if path in infos})


def _find_hashes_outside_database(layer: Path, known: Collection[str]) -> Collection[str]:
    """Return those of the hashes ``known`` that occur in the tar ``layer`` outside of its Nix database."""
    tar = get_extent(layer)
    scanner = ReferenceScanner(lambda digits: digits in known)
    with open_reader(tar) as read:
        databases = [
            (header.start, header.start + header.size)
            for header in read_headers(read, tar.length)
            if header.name.removeprefix(b"./") == DATABASE_PATH
        ]
    start, end = databases[-1] if databases else (tar.length, tar.length)
    for offset, length in ((0, start), (end, tar.length - end)):
        transfer([tar.part(offset, length)], scanner.feed)
    scanner.close()
    return scanner.hashes


def _resolve_date(text: str) -> str:
    """Return ``text``, but ``@SECONDS`` as an ISO date.

    GNU date takes ``@SECONDS``, so callers of dockerTools pass a flake's ``lastModified`` in that form.
    """
    if re.fullmatch("@[0-9]{1,11}", text):
        return datetime.fromtimestamp(int(text[1:]), UTC).isoformat()
    return text


def _format_date(moment: datetime | None) -> str:
    return moment.isoformat() if moment else NOW


def write_archive(derivation: Derivation) -> None:
    """The image of a conf.json as a file."""
    with (
        stream_conf(derivation.attributes["conf"], jobs=derivation.jobs) as stream,
        _open_compressed(derivation, derivation.attributes["compressor"]) as (out, compressor),
    ):
        stream.write_to(out, compressor=compressor, progress=ProgressLines(sys.stderr))


def write_merged(derivation: Derivation) -> None:
    """Several images in one file, compressed as the last one is."""
    images = [Path(image) for image in derivation.attributes["images"]]
    last = _detect_compressor(images[-1]) if images else "none"
    with TempDir() as workspace, _open_compressed(derivation, last) as (out, compressor):
        merge_images(
            [_decompress_zstd(derivation, image, workspace.path) for image in images], output=out, compressor=compressor
        )


def write_exported_root(derivation: Derivation) -> None:
    """An image's root as one flattened tar."""
    with TempDir() as workspace:
        image = _decompress_zstd(derivation, Path(derivation.attributes["image"]), workspace.path)
        images, name = open_images(image), derivation.attributes["imageName"]
        # nixpkgs takes the first image if no name is given.
        selected = select.select_by_name(images, name, image, "name one as imageName")[0] if name else images[0]
        root = ExportedRoot(selected, image)
        with atomic_write(derivation.output) as out:
            write_root(root, out)


VERBS: Mapping[str, Callable[[Derivation], None]] = {
    "customisation-layer": write_customisation_layer,
    "conf": write_conf,
    "archive": write_archive,
    "merge": write_merged,
    "export": write_exported_root,
}


def _stream(file: Path, repo_tag: str | None) -> None:
    with open_stdout() as out, stream_conf(file, repo_tag=repo_tag) as stream:
        _warn(stream.warnings)
        stream.write_to(out, progress=ProgressLines(sys.stderr))


@contextlib.contextmanager
def _open_compressed(derivation: Derivation, compressor: str) -> Iterator[tuple[Writable, str]]:
    """Open the output; yield the file to write an image to and the compressor that the writer still has to apply."""
    with derivation.output.open("wb") as file:
        if compressor != "zstd":
            yield file, compressor
            return
        # The zstd program compresses, because not every Python has zstd. Its output does not depend on how many threads
        # it has.
        command = [derivation.attributes["program"], "--quiet", f"-T{derivation.jobs}"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file) as process:
            if process.stdin:
                yield process.stdin, "none"
    if process.returncode:
        raise OutputError("zstd", got=f"exit status {process.returncode}", expected="0")


def _decompress_zstd(derivation: Derivation, image: Path, folder: Path) -> Path:
    """Return ``image``, or, if it is compressed with zstd, a file in ``folder`` with its decompressed content."""
    if _detect_compressor(image) != "zstd":
        return image
    unpacked = folder / image.name
    unpack = [derivation.attributes["program"], "--quiet", "--decompress", "-o", str(unpacked), str(image)]
    if subprocess.run(unpack, check=False).returncode:
        raise FormatError(image, got="broken zstd", expected="an image")
    return unpacked


def _detect_compressor(file: Path) -> str:
    """Return the name of the compressor that made ``file``, or ``none`` if lamina has no compressor for its format."""
    with file.open("rb") as opened:
        name = detect_compression(opened.read(MAGIC_SIZE)).replace("gzip", "gz")
    return name if name in COMPRESSORS else "none"


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        _print_message(f"warning: {warning}")


def _print_message(text: str) -> None:
    print_stderr(f"lamina: {text}")
