"""The expressions of tests/nix in the store of a real Nix: they are built, evaluated, streamed and run."""

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
from tests.integration.tools import ToolError, skip_unusable
from tests.support.paths import REPOSITORY

# Besides their inputs, the builders of tests/nix see only these folders with programs of the host.
_HOST_FOLDERS = [path for path in ("/bin", "/usr", "/lib", "/lib64", "/etc/alternatives") if os.path.exists(path)]
SANDBOX = ("--option", "sandbox", "true", "--option", "sandbox-paths", " ".join(_HOST_FOLDERS))
_PROGRAMS = ("busybox", "bash", "python3")


@dataclass(frozen=True, slots=True)
class Expressions:
    """tests/nix as a store path, which a Nix in another root file system sees too, and the Nix that evaluates it.

    `host` is an expression for the programs of host.nix; a different `salt` changes every store path.
    """

    nix: Nix
    source: str
    host: str
    salt: str = ""

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments of the commands of Nix that follow the attribute."""
        return (f"{self.source}/tests/nix", "--arg", "host", self.host, "--argstr", "salt", self.salt)

    def derivation(self, attribute: str) -> str:
        return self.nix.call("nix-instantiate", *self.arguments, "--attr", attribute).stdout.strip()

    def build(self, attribute: str) -> Path:
        """Build an attribute and return its store path."""
        return Path(self.nix.call("nix-store", "--realise", self.derivation(attribute)).stdout.strip())

    def rebuild(self, attribute: str, *options: str) -> None:
        """Build an attribute a second time; raise ToolError if the bytes differ."""
        self.nix.call("nix-store", "--realise", "--check", *options, self.derivation(attribute))

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression over the attributes of tests/nix, converted through JSON."""
        scope = f"with import {self.source}/tests/nix {{ host = {self.host}; salt = {json.dumps(self.salt)}; }};"
        command = ("nix-instantiate", "--eval", "--strict", "--json", "--expr", f"{scope} {expression}")
        return json.loads(self.nix.call(*command).stdout)

    def run(self, attribute: str) -> bytes:
        """Return the output of `nix run`."""
        command = ("nix", "--extra-experimental-features", "flakes", "run", "--file", *self.arguments, attribute)
        return subprocess.run(
            [*self.nix.prefix, *command], env=self.nix.environment, capture_output=True, check=True
        ).stdout

    def archive(self, attribute: str, folder: Path) -> Path:
        """Build the image of an attribute and return it as a file that every engine loads."""
        built = self.build(attribute)
        archive = folder / f"{attribute}.tar"
        if built.suffix == ".gz":
            archive.write_bytes(gzip.decompress(built.read_bytes()))
        elif built.suffix == ".tar":
            shutil.copy(built, archive)
        else:
            archive.write_bytes(stream(built).stdout)
        return archive

    def load_and_run(self, attribute: str, engine: Engine, folder: Path, *options: str) -> str:
        """Load the image of an attribute, run it, and return its output."""
        name = load(engine, self.archive(attribute, folder))
        try:
            return engine.run(name, options=options).stdout
        finally:
            engine.remove(name)


def copy_expressions(nix: Nix, folder: Path) -> Expressions:
    """Add the expressions of this checkout to the store, and the programs of the host that they use."""
    copy = folder / "lamina-expressions"
    for part in ("nix", "src", "tests/nix"):
        shutil.copytree(REPOSITORY / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("flake.nix", "script/man_pages.py", "examples/flake/flake.nix"):
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / file, copy / file)
    try:
        source = nix.call("nix-store", "--add", copy).stdout.strip()
        file = f"{source}/tests/nix/host.nix"
        programs = "".join(f"{name} = builtins.storePath {_program(nix, file, name)}; " for name in _PROGRAMS)
    except ToolError as error:
        if os.geteuid() == 0:
            raise
        skip_unusable("nix", f"its daemon does not build without a sandbox for this user: {error}")
    return Expressions(nix, source, f"{{ {programs}}}")


def _program(nix: Nix, file: str, name: str) -> str:
    python = ("--argstr", "python", os.path.realpath(sys.executable))
    derivation = nix.call("nix-instantiate", file, "--attr", name, *python).stdout.strip()
    return nix.call("nix-store", "--realise", derivation).stdout.strip()


def for_other_nix(expressions: Expressions, nix: Nix) -> Expressions:
    """Return the expressions for another Nix, with a salt that changes every store path."""
    return Expressions(nix, expressions.source, expressions.host, ".".join(map(str, nix.version())))


def stream(script: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run a stream script in an empty environment."""
    return subprocess.run([script, *arguments], capture_output=True, check=True, env={})


def load(engine: Engine, archive: Path) -> str:
    """Load an archive and return the name of its image, without the `localhost/` that podman adds."""
    output = engine.load(archive)
    (name,) = re.findall(r"Loaded image(?:\(s\))?: (?:localhost/)?(\S+)", output)
    return str(name)
