"""Real Nix, and the closures that it builds for the tests from nix/*.nix.

Nix builds into the machine's own store, without a sandbox, substituters or a group of build users;
/etc/nix/nix.conf is neither needed nor changed.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.integration.tools import ToolError, environment, require, run, unusable

_STORE = Path("/nix/store")
# Where a Nix that lives in a root of its own may still see a folder of ours: below the store that it shares.
_FOLDERS = (tempfile.gettempdir(), "/nix/var/nix")
EXPRESSIONS = Path(__file__).parent / "nix"
_SETTINGS = """\
build-users-group =
builders =
experimental-features = nix-command
sandbox = false
substituters =
"""


@dataclass(frozen=True, slots=True)
class Nix:
    """One version of Nix; `prefix` stands before each of its commands, so it may be a wrapper."""

    prefix: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)

    def call(self, *command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """One of nix, nix-store, nix-build, nix-hash … with its arguments."""
        return run((*self.prefix, *command), self.environment, check=check)

    def version(self) -> tuple[int, ...]:
        """For instance (2, 8, 0)."""
        numbers = self.call("nix", "--version").stdout.split()[-1]
        return tuple(int(number) for number in numbers.split(".") if number.isdigit())

    def build(self, file: Path, attribute: str) -> str:
        """The store path that an attribute of a Nix file builds."""
        # Even without a link of its own nix-build leaves one behind that keeps the path from being collected.
        derivation = self.call("nix-instantiate", file, "--attr", attribute).stdout.strip()
        return self.call("nix-store", "--realise", derivation).stdout.strip()

    def hash(self, path: str | Path) -> str:
        """The SHA-256 of the path's NAR, from its content, in hexadecimal."""
        return self.call("nix-hash", "--type", "sha256", path).stdout.strip()

    def dump(self, path: str | Path) -> bytes:
        """The path's NAR."""
        command = (*self.prefix, "nix-store", "--dump", str(path))
        return subprocess.run(command, env=self.environment, stdout=subprocess.PIPE, check=True).stdout

    def requisites(self, *paths: str) -> tuple[str, ...]:
        """The closure, references first."""
        return tuple(self.call("nix-store", "--query", "--requisites", *paths).stdout.splitlines())

    def references(self, path: str) -> tuple[str, ...]:
        return tuple(self.call("nix-store", "--query", "--references", path).stdout.splitlines())

    def path_info_json(self, *paths: str, options: tuple[str, ...] = ("--recursive",)) -> Any:
        """`nix path-info --json` as it is: its shape differs from version to version."""
        return json.loads(self.call("nix", "path-info", "--json", *options, *paths).stdout)

    def path_infos(self, *paths: str, options: tuple[str, ...] = ("--recursive",)) -> list[dict[str, Any]]:
        """`path_info_json` as Nix 2.8 has it, whatever the version: objects with their `path`, without what is null.

        Since 2.19 the document is an object by path, in which everything that can be known has a key.
        """
        document = self.path_info_json(*paths, options=options)
        if isinstance(document, dict):
            document = [{"path": path, **info} for path, info in document.items()]
        return [{key: value for key, value in info.items() if value is not None} for info in document]

    def verify(self, *paths: str) -> None:
        """ToolError unless the store has every path as it was registered."""
        self.call("nix-store", "--verify-path", *paths)


@dataclass(frozen=True, slots=True)
class Sample:
    """A closure in the store: the path it belongs to, and all of its paths, references first."""

    root: str
    paths: tuple[str, ...]


def names_itself_otherwise(nix: Nix) -> bool:
    """Whether this Nix gives a content-addressed path that mentions itself another name than all others do.

    From 2.17 until 2.35 it leaves out of what it hashes where the path's own hash stood.
    """
    return (2, 17) <= nix.version() < (2, 35)


def nix(prefix: tuple[str, ...] = ()) -> Nix:
    """The Nix of this machine, ready to build; with a prefix another one, on the same store."""
    if not prefix:
        require("nix")
    found = Nix(prefix, environment(NIX_CONFIG=_SETTINGS))
    if os.geteuid() == 0:
        found.call("nix-store", "--init")
    elif not os.access(_STORE, os.W_OK):
        try:
            found.call("nix", "store", "ping", "--store", "daemon")
        except ToolError:
            unusable("nix", "not root, /nix/store is not writable, and no daemon answers")
    return found


def sample(nix: Nix, name: str, attribute: str) -> Sample:
    """The closure of an attribute of nix/NAME.nix."""
    try:
        root = nix.build(EXPRESSIONS / f"{name}.nix", attribute)
    except ToolError as error:
        if os.geteuid() == 0:
            raise
        unusable("nix", f"its daemon does not build without a sandbox for this user: {error}")
    return Sample(root, nix.requisites(root))


@contextmanager
def seen_folder(nix: Nix) -> Iterator[Path]:
    """An empty folder that ``nix`` sees at the same place."""
    for base in _FOLDERS:
        with suppress(OSError):
            made = Path(tempfile.mkdtemp(prefix="lamina-", dir=base))
            try:
                if nix.call("test", "-d", made, check=False).returncode == 0:
                    yield made
                    return
            finally:
                # Of the store's folders, not even their owner may remove anything.
                subprocess.run(["chmod", "-R", "u+w", made], check=True)
                subprocess.run(["rm", "-rf", "--", made], check=True)
    unusable("nix", f"{' '.join(nix.prefix)} sees none of our folders")
