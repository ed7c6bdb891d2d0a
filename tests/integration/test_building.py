"""Roots that real Nix builds first, from a file and from a flake."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
from tests.integration.closures import Nix
from tests.integration.tools import find

import lamina
from lamina.errors import NotFound, Unavailable
from lamina.inputs.nix_build import build_roots

_DERIVATION = """derivation {
  name = "built-app-1";
  system = SYSTEM;
  builder = "/bin/sh";
  args = [ "-c" "/bin/mkdir -p $out/bin; echo hello > $out/bin/app; exit 0" ];
}"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a default.nix and a flake.nix that both have the attribute app."""
    machine = os.uname().machine
    derivation = _DERIVATION.replace("SYSTEM", f'"{machine}-linux"')
    (tmp_path / "default.nix").write_text(f'{{ app = {derivation}; broken = throw "it\'s broken"; }}\n')
    (tmp_path / "single.nix").write_text(derivation)
    flake = f"{{ outputs = _: {{ packages.{machine}-linux.app = {derivation}; }}; }}\n"
    (tmp_path / "flake.nix").write_text(flake)
    return tmp_path


def write_commands(nix: Nix, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write commands that run ``nix``, and return the search path that finds them."""
    folder.mkdir()
    for name in ("nix", "nix-build"):
        command = shlex.join((*nix.prefix, name if nix.prefix else find(name) or name))
        (folder / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        (folder / name).chmod(0o755)
    for name, value in nix.environment.items():
        monkeypatch.setenv(name, value)
    return f"{folder}:{os.environ['PATH']}"


def _check_roots(nix: Nix, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_commands(nix, project / "programs", monkeypatch)
    monkeypatch.chdir(project)
    roots = ("./single.nix", f"{project}/default.nix#app", f"path:{project}#app")
    (app,) = set(build_roots(roots, path))
    assert app.endswith("-built-app-1")
    planned = lamina.plan_layered_image(contents=["./default.nix#app"], search_path=path)
    assert [str(store_path) for layer in planned.layers for store_path in layer.paths] == [app]
    with pytest.raises(Unavailable, match=r"default.nix#broken: got exit status \d+ of nix-build") as caught:
        build_roots(["./default.nix#broken"], path)
    assert "it's broken" in caught.value.hint
    with pytest.raises(Unavailable, match="expected a store path"):
        build_roots([f"path:{project}#nothing"], path)
    (project / "empty.nix").write_text("{ }")
    with pytest.raises(Unavailable, match=r"empty\.nix: got nothing built, expected a derivation"):
        build_roots([f"{project}/empty.nix"], path)


def test_a_root_is_built_from_a_file_and_from_a_flake(nix: Nix, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _check_roots(nix, project, monkeypatch)


def test_a_newer_nix_builds_a_root(newer_nix: Nix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # In another root file system this Nix sees other files, but the same store.
    version = newer_nix.call("nix-store", "--version").stdout
    assert "Nix" in version
    path = write_commands(newer_nix, tmp_path / "programs", monkeypatch)
    evaluate = ("nix-instantiate", "--eval", "--read-write-mode", "--expr")
    file = newer_nix.call(*evaluate, _make_expression("hello.nix")).stdout.strip().strip('"')
    (app,) = build_roots([f"{file}#"], path)
    assert app.endswith("-built-app-1")


def _make_expression(name: str) -> str:
    """Return a Nix expression that writes the derivation to a file in the store and evaluates to its path."""
    derivation = _DERIVATION.replace("SYSTEM", "builtins.currentSystem")
    text = derivation.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    return f'builtins.toFile "{name}" "{text}"'


def test_without_nix_the_error_says_what_is_missing(tmp_path: Path) -> None:
    for root in ("nixpkgs#hello", "./default.nix"):
        with pytest.raises(NotFound, match="expected one to build it") as caught:
            build_roots([root], str(tmp_path))
        assert caught.value.exit_code == 5
        assert caught.value.hint == "install Nix, or name a store path"


def test_other_roots_are_left_as_they_are() -> None:
    roots = ("hello", "/nix/store/x", "./result", "hello-2.12")
    assert build_roots(roots, "") == roots
