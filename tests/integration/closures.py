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

from tests.integration.tools import ToolError, environment, require, run, skip_unusable

_STORE = Path("/nix/store")
# A Nix in another root file system sees only the folders that it shares with this machine, such as /nix/var/nix.
_FOLDERS = (tempfile.gettempdir(), "/nix/var/nix")
EXPRESSIONS = Path(__file__).parent / "nix"
NIX_SETTINGS = """\
build-users-group =
builders =
experimental-features = nix-command
sandbox = false
substituters =
"""


@dataclass(frozen=True, slots=True)
class Nix:
    """One version of Nix; every command starts with `prefix`, which may be a wrapper."""

    prefix: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)

    def call(self, *command: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run nix, nix-store, nix-build, nix-hash or another command of Nix."""
        return run((*self.prefix, *command), self.environment, check=check)

    def version(self) -> tuple[int, ...]:
        """Return the version, for instance (2, 8, 0)."""
        numbers = self.call("nix", "--version").stdout.split()[-1]
        return tuple(int(number) for number in numbers.split(".") if number.isdigit())

    def build(self, file: Path, attribute: str) -> str:
        """Build an attribute of a Nix file and return its store path."""
        # Even with --no-out-link, nix-build leaves a GC root behind, which would keep the path from being collected.
        derivation = self.call("nix-instantiate", file, "--attr", attribute).stdout.strip()
        return self.call("nix-store", "--realise", derivation).stdout.strip()

    def hash(self, path: str | Path) -> str:
        """Hash the content of a path and return the SHA-256 of its NAR, in hexadecimal."""
        return self.call("nix-hash", "--type", "sha256", path).stdout.strip()

    def dump(self, path: str | Path) -> bytes:
        """Return the NAR of a path."""
        command = (*self.prefix, "nix-store", "--dump", str(path))
        return subprocess.run(command, env=self.environment, stdout=subprocess.PIPE, check=True).stdout

    def requisites(self, *paths: str) -> tuple[str, ...]:
        """Return the closure of the paths, references first."""
        return tuple(self.call("nix-store", "--query", "--requisites", *paths).stdout.splitlines())

    def references(self, path: str) -> tuple[str, ...]:
        return tuple(self.call("nix-store", "--query", "--references", path).stdout.splitlines())

    def path_info_json(self, *paths: str, options: tuple[str, ...] = ("--recursive",)) -> Any:
        """Return the document of `nix path-info --json`; its shape differs from version to version."""
        return json.loads(self.call("nix", "path-info", "--json", *options, *paths).stdout)

    def path_infos(self, *paths: str, options: tuple[str, ...] = ("--recursive",)) -> list[dict[str, Any]]:
        """Return `path_info_json` in the shape of Nix 2.8 for every version: objects with their `path`, without nulls.

        Since 2.19 the document is an object keyed by path; its values have every key, and unknown values are null.
        """
        document = self.path_info_json(*paths, options=options)
        if isinstance(document, dict):
            document = [{"path": path, **info} for path, info in document.items()]
        return [{key: value for key, value in info.items() if value is not None} for info in document]

    def verify(self, *paths: str) -> None:
        """Raise ToolError unless the content of every path has the NAR hash that the store registered."""
        self.call("nix-store", "--verify-path", *paths)


@dataclass(frozen=True, slots=True)
class Sample:
    """A closure in the store: its root, and all of its paths, references first."""

    root: str
    paths: tuple[str, ...]


def has_self_reference_bug(nix: Nix) -> bool:
    """Return whether this Nix computes a different store path for a content-addressed path that refers to itself.

    Nix 2.17 to 2.34 do not hash the positions of the path's own hash.
    """
    return (2, 17) <= nix.version() < (2, 35)


def open_nix(prefix: tuple[str, ...] = ()) -> Nix:
    """Return the Nix of this machine, ready to build; with a prefix, another Nix on the same store."""
    if not prefix:
        require("nix")
    opened = Nix(prefix, environment(NIX_CONFIG=NIX_SETTINGS))
    if os.geteuid() == 0:
        opened.call("nix-store", "--init")
    elif not os.access(_STORE, os.W_OK):
        try:
            opened.call("nix", "store", "ping", "--store", "daemon")
        except ToolError:
            skip_unusable("nix", "not root, /nix/store is not writable, and no daemon answers")
    return opened


def build_sample(nix: Nix, name: str, attribute: str) -> Sample:
    """Build an attribute of nix/NAME.nix and return its closure."""
    try:
        root = nix.build(EXPRESSIONS / f"{name}.nix", attribute)
    except ToolError as error:
        if os.geteuid() == 0:
            raise
        skip_unusable("nix", f"its daemon does not build without a sandbox for this user: {error}")
    return Sample(root, nix.requisites(root))


@contextmanager
def shared_folder(nix: Nix) -> Iterator[Path]:
    """Create an empty folder that ``nix`` sees under the same path."""
    for base in _FOLDERS:
        with suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix="lamina-", dir=base))
            try:
                if nix.call("test", "-d", folder, check=False).returncode == 0:
                    yield folder
                    return
            finally:
                # The folders of a store are read-only, so they need write permission before they can be deleted.
                subprocess.run(["chmod", "-R", "u+w", folder], check=True)
                subprocess.run(["rm", "-rf", "--", folder], check=True)
    skip_unusable("nix", f"{' '.join(nix.prefix)} sees none of our folders")
