"""Flakes in a real Nix without a network: lamina's own, and a small nixpkgs of packages of the host."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.integration.closures import Nix, shared_folder
from tests.integration.expressions import Expressions
from tests.integration.packages import with_packages
from tests.support.paths import REPOSITORY

NIXPKGS_URL = "github:NixOS/nixpkgs/nixos-unstable"
LAMINA_URL = "git+file:///home/me/lamina"

# Nix 2.26 and newer make this link for root, even for commands that name another profile.
_DEFAULT_PROFILE = Path("/nix/var/nix/profiles/default")

# A flake is evaluated in pure mode, which has no builtins.storePath.
_PROGRAMS = """\
let path = file: let text = toString file; in builtins.appendContext text {{ ${{text}} = {{ path = true; }}; }}; in
{host}
"""


@dataclass(frozen=True, slots=True)
class Sources:
    """lamina's flake and a nixpkgs as store paths, which every Nix sees."""

    lamina: str
    nixpkgs: str


@dataclass(frozen=True, slots=True)
class Flakes:
    """A Nix with a home and an empty working folder."""

    nix: Nix
    sources: Sources
    folder: Path

    def call(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of `nix` in the working folder."""
        return self.shell('exec nix "$@"', *command, check=check)

    def shell(self, script: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a script of bash in the working folder; it ends after the first error."""
        changed = f'cd "{self.folder}"\n{script}\n'
        return self.nix.call("bash", "-euo", "pipefail", "-c", changed, "bash", *arguments, check=check)

    @property
    def has_git(self) -> bool:
        """Whether this Nix, which may be in another root, finds a git."""
        return self.shell("git --version", check=False).returncode == 0

    def copy_lamina(self) -> None:
        """Put a checkout of lamina into the working folder. Its nixpkgs is the small one."""
        checkout = self.folder / "lamina"
        shutil.copytree(self.sources.lamina, checkout)
        subprocess.run(["chmod", "-R", "u+w", checkout], check=True)
        for file in ("flake.nix", "examples/flake/flake.nix"):
            self.replace(f"lamina/{file}", NIXPKGS_URL, f"path:{self.sources.nixpkgs}")
        if self.has_git:
            identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
            for command in (("init", "--quiet"), ("add", "."), (*identity, "commit", "--quiet", "--message=all")):
                subprocess.run(["git", "-C", checkout, *command], check=True)

    def replace(self, name: str, old: str, new: str) -> None:
        """Replace a text that a file of the working folder has."""
        file = self.folder / name
        text = file.read_text(encoding="utf-8")
        assert old in text
        file.write_text(text.replace(old, new), encoding="utf-8")


def add_sources(expressions: Expressions, folder: Path) -> Sources:
    """Add the small nixpkgs to the store; its Python has the packages that the command needs."""
    host = with_packages(expressions, folder).host.replace("builtins.storePath ", "path ")
    nixpkgs = folder / "nixpkgs"
    shutil.copytree(REPOSITORY / "tests/nix/nixpkgs", nixpkgs)
    shutil.copy(REPOSITORY / "tests/nix/pkgs.nix", nixpkgs)
    (nixpkgs / "programs.nix").write_text(_PROGRAMS.format(host=host))
    return Sources(expressions.source, expressions.nix.call("nix-store", "--add", nixpkgs).stdout.strip())


@contextmanager
def open_flakes(nix: Nix, sources: Sources) -> Iterator[Flakes]:
    """Give a Nix a home and a working folder for the block, and the settings for flakes."""
    with shared_folder(nix) as folder, _without_default_profile():
        settings = nix.environment["NIX_CONFIG"].replace("= nix-command", "= nix-command flakes")
        environment = {**nix.environment, "HOME": f"{folder}/home", "NIX_CONFIG": settings}
        for name in ("home", "work"):
            (folder / name).mkdir()
        yield Flakes(replace(nix, environment=environment), sources, folder / "work")


@contextmanager
def _without_default_profile() -> Iterator[None]:
    """Remove the link to root's profile at the end, if it is new and leads nowhere."""
    is_new = not os.path.lexists(_DEFAULT_PROFILE)
    try:
        yield
    finally:
        if is_new and _DEFAULT_PROFILE.is_symlink() and not _DEFAULT_PROFILE.exists():
            _DEFAULT_PROFILE.unlink()
