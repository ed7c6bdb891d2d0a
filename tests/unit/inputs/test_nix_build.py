"""ROOTs that Nix builds: which command is run, and what its output means."""

import os
from pathlib import Path

import pytest

from lamina.errors import NotFound, Unavailable
from lamina.inputs.nix_build import build_roots, needs_nix_build

BUILT = f"/nix/store/{'a' * 32}-hello-2.12.1"


@pytest.fixture
def search_path(tmp_path: Path) -> str:
    """Return a PATH with a ``nix`` and a ``nix-build`` that print what the file ``answer`` holds, and their words."""
    for name in ("nix", "nix-build"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "$(basename "$0") $*" > {tmp_path}/words\ncat {tmp_path}/answer\n')
        program.chmod(0o755)
    return f"{tmp_path}/bin:{os.defpath}"


def test_a_flake_is_built_and_each_output_is_a_root(search_path: str, tmp_path: Path) -> None:
    (tmp_path / "answer").write_text(f'[{{"outputs": {{"out": "{BUILT}", "man": "{BUILT}-man"}}}}]')
    assert build_roots(["./flake#hello", BUILT], search_path) == (BUILT, f"{BUILT}-man", BUILT)
    assert (tmp_path / "words").read_text().endswith("build --no-link --json -- ./flake#hello\n")


def test_an_attribute_of_a_file_is_built_with_nix_build(search_path: str, tmp_path: Path) -> None:
    (tmp_path / "answer").write_text(f"{BUILT}\n")
    assert build_roots(["/x/all.nix#hello"], search_path) == (BUILT,)
    assert (tmp_path / "words").read_text() == "nix-build --no-out-link -A hello /x/all.nix\n"


@pytest.mark.parametrize(
    "answer", ["", "x", "{", "{}", "[1]", '[{"outputs": 1}]', '[{"outputs": {"out": ["x"]}', "[" * 100_000, "\0"]
)
def test_any_other_answer_of_nix_is_an_error(answer: str, search_path: str, tmp_path: Path) -> None:
    (tmp_path / "answer").write_text(answer)
    with pytest.raises(Unavailable, match=r"^\.#hello: got .*, expected (the store paths|a derivation)"):
        build_roots([".#hello"], search_path)


def test_a_failure_has_the_last_error_as_its_hint(search_path: str, tmp_path: Path) -> None:
    (tmp_path / "bin/nix").write_text("#!/bin/sh\necho warning: x >&2; echo error: no such attribute >&2; exit 1\n")
    with pytest.raises(Unavailable, match=r"got exit status 1 of nix, expected a store path") as caught:
        build_roots([".#hello"], search_path)
    assert caught.value.hint == "error: no such attribute"


def test_without_nix_the_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"^x\.nix: got no nix-build on PATH") as caught:
        build_roots(["x.nix"], str(tmp_path))
    assert caught.value.hint


@pytest.mark.parametrize(("root", "expected"), [(BUILT, False), ("hello", False), ("x.nix", True), (".#x", True)])
def test_only_flakes_and_files_of_nix_are_built(root: str, *, expected: bool) -> None:
    assert needs_nix_build(root) == expected
