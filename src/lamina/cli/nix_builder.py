"""The builders of the derivations in nix/, such as those of a customisation layer, a conf.json and an archive.

Invariant: this module needs only the standard library, and its output depends only on the derivation, not on the
machine. The verb ``stream`` runs outside builds, in the script that ``streamLayeredImage`` returns.

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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from lamina.api import docker_tools
from lamina.api.merge import merge_images
from lamina.cli.exits import run_to_exit_code
from lamina.cli.nix_lines import NixLines
from lamina.cli.output import open_stdout, print_stderr
from lamina.errors import FormatError, InvalidArgument, OutputError
from lamina.messages.sizes import format_size

_MAX_JOBS = 64


@dataclass(frozen=True, slots=True)
class Derivation:
    """The inputs of one build.

    Attributes:
        attributes: The values that nix/derive.nix passes on.
        output: The path of the output of the build.
        file: The JSON file of the attributes, which also holds the closure graph, if the derivation asks for one.
        jobs: The number of processors that the build may use; None for all.
    """

    attributes: Mapping[str, Any]
    output: Path
    file: Path
    jobs: int | None

    @classmethod
    def parse(cls, file: Path, cores: str) -> Derivation:
        """Parse ``file``, which Nix writes under ``__structuredAttrs``.

        ``cores`` is the value of ``NIX_BUILD_CORES``; 0, or anything but a number, means all processors. At most
        `_MAX_JOBS` are used.
        """
        document = _read_json(file)
        jobs = min(int(cores), _MAX_JOBS) if cores.isdigit() else 0
        return cls(document["given"], Path(document["outputs"]["out"]), file, jobs or None)


def main() -> None:
    """Run one verb and end the process with its exit code."""
    parser = argparse.ArgumentParser(prog="lamina", description="Run a step of the derivations of lamina's nix/.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, verb in VERBS.items():
        verbs.add_parser(name, help=verb.__doc__)
    stream = verbs.add_parser("stream", help="Write the image of a conf.json to stdout.")
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
        raise InvalidArgument("NIX_ATTRS_JSON_FILE", "no such file", "the attributes of a derivation")
    return Derivation.parse(Path(file), os.environ.get("NIX_BUILD_CORES", ""))


def _read_json(file: Path) -> Any:
    """Parse a file that Nix itself wrote for this build."""
    return json.loads(file.read_bytes())


def write_customisation_layer(derivation: Derivation) -> None:
    """Write the layer.tar of the root, and its checksum."""
    base = _read_json(Path(derivation.attributes["baseJson"]))
    layer = docker_tools.build_customisation_layer(
        derivation.output,
        config=base["config"],
        architecture=base["architecture"],
        store=derivation.file,
        **derivation.attributes["arguments"],
    )
    sys.stderr.write(layer.script_output)
    _warn(layer.warnings)


def write_conf(derivation: Derivation) -> None:
    """Write nixpkgs' conf.json: which store paths go to which layer, and the settings of the image."""
    attributes = derivation.attributes
    arguments = attributes["arguments"]
    if arguments["tag"] is None:
        arguments["tag"] = derivation.output.name.partition("-")[0]
    arguments |= {name: _resolve_date(arguments[name]) for name in ("created", "mtime")}
    conf = docker_tools.plan_conf(
        attributes["baseJson"], attributes["customisationLayer"], store=derivation.file, **arguments
    )
    _warn(conf.warnings)
    if attributes["debug"]:
        for number, plan in enumerate(conf.layers, conf.base_layers + 1):
            print_stderr(f"lamina: layer {number}: {plan.reason}, {format_size(plan.nar_size)}")
    sys.stderr.write(conf.text)
    derivation.output.write_text(conf.text, encoding="utf-8")


def _resolve_date(text: str) -> str:
    """Return a date in the form ``@SECONDS`` as an ISO date, and any other ``text`` unchanged.

    GNU date accepts ``@SECONDS``, so callers of dockerTools pass a flake's ``lastModified`` in that form.
    """
    if re.fullmatch("@[0-9]{1,11}", text):
        return datetime.fromtimestamp(int(text[1:]), UTC).isoformat()
    return text


def write_archive(derivation: Derivation) -> None:
    """Write the image of a conf.json to a file."""
    with (
        docker_tools.stream_conf(derivation.attributes["conf"], jobs=derivation.jobs) as stream,
        _open_compressed(derivation, derivation.attributes["compressor"]) as (out, compressor),
    ):
        stream.write_to(out, compressor=compressor, progress=NixLines(sys.stderr))


def write_merged(derivation: Derivation) -> None:
    """Write several images to one file, with the compression of the last image."""
    images = derivation.attributes["images"]
    last = docker_tools.detect_compressor(images[-1]) if images else "none"
    with TemporaryDirectory() as folder, _open_compressed(derivation, last) as (out, compressor):
        # An image may be named twice.
        plain = [_decompress_zstd(derivation, image, folder) for image in dict.fromkeys(images)]
        merge_images(plain, output=out, compressor=compressor)


def write_exported_root(derivation: Derivation) -> None:
    """Write the root file system of an image as one tar."""
    with TemporaryDirectory() as folder:
        image = _decompress_zstd(derivation, derivation.attributes["image"], folder)
        docker_tools.export_first_image(image, output=derivation.output, name=derivation.attributes["imageName"])


VERBS: Mapping[str, Callable[[Derivation], None]] = {
    "customisation-layer": write_customisation_layer,
    "conf": write_conf,
    "archive": write_archive,
    "merge": write_merged,
    "export": write_exported_root,
}


def _stream(file: Path, repo_tag: str | None) -> None:
    with open_stdout() as out, docker_tools.stream_conf(file, repo_tag=repo_tag) as stream:
        _warn(stream.warnings)
        stream.write_to(out, progress=NixLines(sys.stderr))


@contextlib.contextmanager
def _open_compressed(derivation: Derivation, compressor: str) -> Iterator[tuple[IO[bytes], str]]:
    """Open the output; yield the file to write an image to and the compressor that the writer still has to apply."""
    with derivation.output.open("wb") as file:
        if compressor != "zstd":
            yield file, compressor
            return
        # The zstd program compresses, because not every Python has zstd. Its output does not depend on the number of
        # threads; 0 means one for each processor.
        command = [derivation.attributes["program"], "--quiet", f"-T{derivation.jobs or 0}"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=file) as process:
            if process.stdin:
                yield process.stdin, "none"
    if process.returncode:
        raise OutputError("zstd", f"exit status {process.returncode}", "0")


def _decompress_zstd(derivation: Derivation, image: str, folder: str) -> str:
    """Return ``image``, or, if it is compressed with zstd, a file in ``folder`` with its decompressed content."""
    if docker_tools.detect_compressor(image) != "zstd":
        return image
    unpacked = os.path.join(folder, os.path.basename(image))
    unpack = [derivation.attributes["program"], "--quiet", "--decompress", "-o", unpacked, image]
    if subprocess.run(unpack, check=False).returncode:
        raise FormatError(image, "broken zstd", "an image")
    return unpacked


def _warn(warnings: Iterable[str]) -> None:
    for warning in warnings:
        print_stderr(f"lamina: warning: {warning}")
