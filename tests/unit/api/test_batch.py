"""The arguments of a batch: which images it has, what they are called, and where they go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lamina.api.batch import batch
from lamina.api.batch_options import parse_destination
from lamina.errors import InputError, InvalidArgument
from lamina.fleet.destinations import LayoutFolder, RegistryPrefix

REGISTRY = RegistryPrefix.parse("ghcr.io/me")


def test_exactly_one_destination_is_named(tmp_path: Path) -> None:
    assert parse_destination("ghcr.io/me", None) == REGISTRY
    assert parse_destination(None, tmp_path) == LayoutFolder(tmp_path)
    for both in ((None, None), ("ghcr.io/me", tmp_path)):
        with pytest.raises(InvalidArgument, match="to: got"):
            parse_destination(*both)


def test_a_relative_layout_is_one_of_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_destination(None, "layout/") == LayoutFolder(tmp_path / "layout")


def test_a_missing_spec_file_is_an_error_before_work_begins(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.toml"):
        batch(tmp_path / "nothing.toml", output=tmp_path / "layout")


def test_a_file_without_images_and_no_file_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="specs: got none"):
        batch([], output=tmp_path / "layout")
    with pytest.raises(InvalidArgument, match="specs: got none"):
        batch({}, output=tmp_path / "layout")


def test_tables_of_one_name_in_two_files_are_called_by_their_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.toml").write_text('[web]\ncontents = ["x"]\n')
    with pytest.raises(InvalidArgument, match=r"b\.toml#web: name: got web:latest, as image .*a\.toml#web"):
        batch([tmp_path / "a.toml", tmp_path / "b.toml"], output=tmp_path / "layout")


@pytest.mark.parametrize("attached", [{"sbom": "cyclonedx"}, {"provenance": True}])
def test_documents_are_attached_in_registries_only(tmp_path: Path, attached: Any) -> None:
    with pytest.raises(InvalidArgument, match="got it and an OCI layout"):
        batch({"web": {}}, output=tmp_path, **attached)
