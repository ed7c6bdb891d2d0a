"""tests/nix for a real Nix: the expressions of this checkout in its store, built, evaluated, streamed and run."""

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.closures import Nix
from tests.integration.engines import Engine
from tests.integration.tools import ToolError, unusable
from tests.support.paths import REPOSITORY

# The host's programs are all that the builders of tests/nix see beside their inputs.
_SEEN = [place for place in ("/bin", "/usr", "/lib", "/lib64", "/etc/alternatives") if os.path.exists(place)]
SANDBOX = ("--option", "sandbox", "true", "--option", "sandbox-paths", " ".join(_SEEN))
_PROGRAMS = ("busybox", "bash", "python3")


@dataclass(frozen=True, slots=True)
class Expressions:
    """tests/nix as a store path, so that a Nix in another root file system sees it, for one Nix to evaluate.

    `host` is an expression for the programs of host.nix; `salt` makes every store path another.
    """

    nix: Nix
    source: str
    host: str
    salt: str = ""

    @property
    def arguments(self) -> tuple[str, ...]:
        """What Nix's commands are given after the attribute."""
        return (f"{self.source}/tests/nix", "--arg", "host", self.host, "--argstr", "salt", self.salt)

    def derivation(self, attribute: str) -> str:
        return self.nix.call("nix-instantiate", *self.arguments, "--attr", attribute).stdout.strip()

    def build(self, attribute: str) -> Path:
        """What nix-build prints."""
        return Path(self.nix.call("nix-store", "--realise", self.derivation(attribute)).stdout.strip())

    def rebuild(self, attribute: str, *options: str) -> None:
        """Builds again what is built already; ToolError where other bytes come out."""
        self.nix.call("nix-store", "--realise", "--check", *options, self.derivation(attribute))

    def evaluate(self, expression: str) -> Any:
        """The value of an expression over the attributes of tests/nix, by way of JSON."""
        scope = f"with import {self.source}/tests/nix {{ host = {self.host}; salt = {json.dumps(self.salt)}; }};"
        command = ("nix-instantiate", "--eval", "--strict", "--json", "--expr", f"{scope} {expression}")
        return json.loads(self.nix.call(*command).stdout)

    def run(self, attribute: str) -> bytes:
        """What `nix run` writes."""
        command = ("nix", "--extra-experimental-features", "flakes", "run", "--file", *self.arguments, attribute)
        everything = [*self.nix.prefix, *command]
        return subprocess.run(everything, env=self.nix.environment, capture_output=True, check=True).stdout

    def archive(self, attribute: str, folder: Path) -> Path:
        """The image of an attribute as a file that every engine loads."""
        built = self.build(attribute)
        archive = folder / f"{attribute}.tar"
        if built.suffix == ".gz":
            archive.write_bytes(gzip.decompress(built.read_bytes()))
        elif built.suffix == ".tar":
            shutil.copy(built, archive)
        else:
            archive.write_bytes(stream(built).stdout)
        return archive

    def ran(self, attribute: str, engine: Engine, folder: Path, *options: str) -> str:
        """What the image of an attribute prints when it is loaded and run."""
        name = load(engine, self.archive(attribute, folder))
        try:
            return engine.run(name, options=options).stdout
        finally:
            engine.remove(name)


def expressions(nix: Nix, folder: Path) -> Expressions:
    """The expressions of this checkout, for the machine's Nix, and the host's programs that they use."""
    copy = folder / "lamina-expressions"
    for part in ("nix", "src", "tests/nix"):
        shutil.copytree(REPOSITORY / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "flake.nix", copy)
    try:
        source = nix.call("nix-store", "--add", copy).stdout.strip()
        file = f"{source}/tests/nix/host.nix"
        programs = "".join(f"{name} = builtins.storePath {_program(nix, file, name)}; " for name in _PROGRAMS)
    except ToolError as error:
        if os.geteuid() == 0:
            raise
        unusable("nix", f"its daemon does not build without a sandbox for this user: {error}")
    return Expressions(nix, source, f"{{ {programs}}}")


def _program(nix: Nix, file: str, name: str) -> str:
    python = ("--argstr", "python", os.path.realpath(sys.executable))
    derivation = nix.call("nix-instantiate", file, "--attr", name, *python).stdout.strip()
    return nix.call("nix-store", "--realise", derivation).stdout.strip()


def newer(expressions: Expressions, nix: Nix) -> Expressions:
    """The same for another Nix, in whose hands every store path is another."""
    return Expressions(nix, expressions.source, expressions.host, ".".join(map(str, nix.version())))


def stream(script: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """A stream script's run, in an empty environment."""
    return subprocess.run([script, *arguments], capture_output=True, check=True, env={})


def load(engine: Engine, archive: Path) -> str:
    """The name of the image that the engine loads, without podman's localhost."""
    said = engine.load(archive)
    (name,) = re.findall(r"Loaded image(?:\(s\))?: (?:localhost/)?(\S+)", said)
    return str(name)
