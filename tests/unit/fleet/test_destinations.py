"""Where the images of a batch go."""

from __future__ import annotations

from pathlib import Path

import pytest

from lamina.errors import InvalidArgument
from lamina.fleet.blob_homes import LayoutHome
from lamina.fleet.destinations import LayoutFolder, RegistryPrefix


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("127.0.0.1:5000", "127.0.0.1:5000/web:1"),
        ("localhost:5000/", "localhost:5000/web:1"),
        ("ghcr.io/me", "ghcr.io/me/web:1"),
        ("docker://ghcr.io/me/apps/", "ghcr.io/me/apps/web:1"),
    ],
)
def test_images_are_named_below_the_prefix(text: str, reference: str) -> None:
    prefix = RegistryPrefix.parse(text)
    assert str(prefix.make_reference("web", "1")) == reference
    assert prefix.find_home("web").reference.name == reference.removesuffix(":1")


@pytest.mark.parametrize(
    "text",
    ["", "ghcr.io/me:1", "ghcr.io/me@sha256:" + "0" * 64, "https://ghcr.io/me", "user:secret@ghcr.io/me", "GHCR.io/Me"],
)
def test_other_texts_are_no_prefix(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^to: got .*, expected REGISTRY/PREFIX") as raised:
        RegistryPrefix.parse(text)
    assert raised.value.hint
    assert "secret" not in f"{raised.value} {raised.value.hint}"
    assert "/image" not in str(raised.value)


def test_all_images_of_a_layout_share_its_blobs(tmp_path: Path) -> None:
    layout = LayoutFolder(tmp_path)
    assert layout.find_home("web") == layout.find_home("api") == LayoutHome(str(tmp_path))
    assert layout.make_reference("web", "1") is None
