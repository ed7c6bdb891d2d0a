"""The commands that are compared: a batch, a loop of pushes, and a loop in the way of nixpkgs with skopeo.

Each pushes images of one spec file to an empty registry, and begins with an empty layer cache.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measuring import ENVIRONMENT, BenchError, Side
from bench.registry import SKOPEO
from bench.workloads import LAMINA

from lamina.inputs import specfile

_BASELINE = Path(__file__).parent.parent / "baseline.py"
_MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True, slots=True)
class Fleet:
    """Images of a spec file, and a folder for temporary files.

    Attributes:
        options: options that every command of lamina gets, such as ``--store``.
        variables: additional environment variables of the batch.
    """

    spec: Path
    folder: Path
    options: Sequence[str] = ()
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the images, in the order of the file."""
        return tuple(specfile.read_tables(self.spec))

    def choose(self, count: int) -> tuple[str, ...]:
        """Return ``count`` names, spread evenly over the file."""
        names = self.names
        wanted = min(count, len(names))
        return tuple(names[number * len(names) // wanted] for number in range(wanted))

    def batch(self, registry: str, *options: str) -> Side:
        """Return the side that pushes all images in one batch; its output is the JSON result."""
        target = ("--to", f"{registry}/fleet", "--layer-cache", str(self.folder / "batch.sqlite"))
        command = (LAMINA, "batch", "--quiet", "--json", str(self.spec), *target, *self.options, *options)
        return Side((command,), output=self.folder / "batch.json", variables=self.variables)

    def push(self, name: str, registry: str, *options: str) -> Side:
        """Return the side that pushes one image; all pushes together fill one layer cache."""
        target = ("--to", f"{registry}/fleet/{name}:1", "--layer-cache", str(self.folder / "loop.sqlite"))
        command = (LAMINA, "push", "--quiet", "--spec", f"{self.spec}#{name}", *target, *self.options, *options)
        return Side((command,), output=self.folder / "push.txt")

    def copy(self, name: str, registry: str) -> tuple[Side, Side]:
        """Return the sides that stream one image as nixpkgs does, and that copy it with skopeo.

        skopeo writes an archive from a pipe to a temporary file before it reads it, and older versions read no pipe, so
        the file is written by the first side. The plan, which Nix makes when it builds the script that streams, is made
        now and not measured.
        """
        plan, archive = self.folder / "plan.json", self.folder / "image.tar"
        command = (LAMINA, "plan", "--quiet", "--json", "--spec", f"{self.spec}#{name}", "--layering", "popularity")
        with plan.open("wb") as out:
            subprocess.run((*command, *self.options), check=True, stdout=out, env=ENVIRONMENT)
        stream = (sys.executable, "-P", str(_BASELINE), str(plan))
        settings = (SKOPEO, "--insecure-policy", "--tmpdir", str(self.folder), "copy", "--quiet")
        target = f"docker://{registry}/fleet/{name}:1"
        copy = (*settings, "--dest-tls-verify=false", f"docker-archive:{archive}", target)
        return Side((stream,), output=archive), Side((copy,))


def read_digests(registry: str, names: Iterable[str]) -> Mapping[str, str]:
    """Return the digest of the manifest that each image has in the registry, or the status of the answer."""
    with closing(http.client.HTTPConnection(registry)) as connection:
        return {name: _read_digest(connection, f"/v2/fleet/{name}/manifests/1") for name in names}


def _read_digest(connection: http.client.HTTPConnection, path: str) -> str:
    connection.request("HEAD", path, headers={"Accept": _MANIFESTS})
    answer = connection.getresponse()
    answer.read()
    return answer.getheader("Docker-Content-Digest", f"HTTP {answer.status}")


def read_result(side: Side) -> Mapping[str, Any]:
    """Return the JSON result that a batch has written. Raises `BenchError`."""
    try:
        document: Mapping[str, Any] = json.loads(side.output.read_text())
    except ValueError as error:
        raise BenchError(f"{side.output}: got {error}, expected the result of a batch") from error
    return document
