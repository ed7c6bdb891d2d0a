"""Base images with the digest of a lock file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lamina.errors import FormatError, InputError, InvalidArgument
from lamina.inputs.pinned_base import pin_base_image
from lamina.inputs.spec import Spec

DIGEST = f"sha256:{'1' * 64}"
LOCK = f'version = 1\n[[image]]\nreference = "docker.io/library/debian:12"\ndigest = "{DIGEST}"\n'


@pytest.fixture(autouse=True)
def lock_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "lamina.lock"
    file.write_text(LOCK)
    return file


def pin(from_image: str | None, **arguments: Any) -> tuple[str | None, list[str]]:
    """Return the base image that is used, and the warnings."""
    warnings: list[str] = []
    named = {"from_image": from_image, "lock_file": "lamina.lock", **arguments}
    return pin_base_image(Spec.parse(named), warnings).from_image, warnings


@pytest.mark.parametrize("locked", [True, False])
@pytest.mark.parametrize("name", ["debian:12", "docker://debian:12", "docker.io/library/debian:12"])
def test_a_reference_in_any_spelling_gets_its_digest(name: str, *, locked: bool) -> None:
    assert pin(name, locked=locked) == (f"docker.io/library/debian:12@{DIGEST}", [])


@pytest.mark.parametrize("image", [None, "base.tar", "oci:base:1", f"debian@{DIGEST}", f"debian:11@{DIGEST}"])
def test_what_has_no_tag_that_moves_stays_and_needs_no_lock_file(image: str | None, lock_file: Path) -> None:
    assert pin(image, locked=True) == (image, [])
    lock_file.unlink()
    assert pin(image, locked=True) == (image, [])
    assert pin(image, locked=True, lock_file=None) == (image, [])


def test_a_file_with_the_name_of_a_reference_is_the_file() -> None:
    Path("debian:12").touch()
    assert pin("debian:12", locked=True) == ("debian:12", [])


def test_a_reference_that_is_not_in_the_lock_file_stays_with_a_warning() -> None:
    image, (warning,) = pin("debian:11")
    assert image == "debian:11"
    assert warning.startswith("lamina.lock: got no docker.io/library/debian:11, used what its tag is now; lamina lock")


def test_without_a_lock_file_the_tag_counts(lock_file: Path) -> None:
    lock_file.unlink()
    assert pin("debian:12") == ("debian:12", [])
    assert pin("debian:12", lock_file=None) == ("debian:12", [])


def test_locked_insists_on_the_lock_file_and_its_entry(lock_file: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"lamina\.lock: got no docker\.io/library/debian:11") as raised:
        pin("debian:11", locked=True)
    assert raised.value.hint == "lamina lock adds the base images of the spec file"
    lock_file.unlink()
    with pytest.raises(InputError, match=r"lamina\.lock: got No such file") as missing:
        pin("debian:12", locked=True)
    assert missing.value.hint == "lamina lock writes it"
    with pytest.raises(InvalidArgument, match="debian:12 without a spec file, expected a digest") as without:
        pin("debian:12", locked=True, lock_file=None)
    assert "--from-image REF@sha256:…" in without.value.hint


def test_a_damaged_lock_file_is_an_error(lock_file: Path) -> None:
    lock_file.write_text(LOCK.replace("version = 1", "version = 2"))
    with pytest.raises(FormatError, match=r"lamina\.lock: got version 2"):
        pin("debian:12")
