"""Files of other layers that change the store."""

import pytest
from tests.support.image_files import tar

from lamina.errors import FormatError
from lamina.images.store_overlays import find_store_overlay

NAME = "0" * 32 + "-hello"


@pytest.mark.parametrize(
    "name",
    [
        f"nix/store/{NAME}",
        f"./nix/store/{NAME}/bin/hello",
        f"/nix//store/./{NAME}/x",
        f"nix/store/.wh.{NAME}",
        f"nix/store/{NAME}/.wh.bin",
        "nix/store/.wh..wh..opq",
        "nix/.wh.store",
        "nix/.wh..wh..opq",
        ".wh.nix",
        ".wh..wh..opq",
    ],
)
def test_what_changes_the_store_is_found(name: str) -> None:
    assert find_store_overlay([tar({"etc": None, name: b""})]) == name


@pytest.mark.parametrize("name", ["nix", "nix/store"])
def test_a_link_in_place_of_the_store_is_found(name: str) -> None:
    assert find_store_overlay([tar({name: "/tmp"})]) == name


def test_other_files_and_the_folders_of_the_store_are_not() -> None:
    members = {
        "./nix": None,
        "./nix/store": None,
        "nix/var/x": b"",
        "etc/.wh.x": b"",
        "nixstore/x": b"",
        "nix/.wh.x": b"",
    }
    assert find_store_overlay([tar(members)]) is None


def test_a_name_that_leads_out_of_the_root_is_an_error() -> None:
    with pytest.raises(FormatError, match="names without"):
        find_store_overlay([tar({f"etc/../nix/store/{NAME}": b""})])


def test_a_tar_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(FormatError):
        find_store_overlay([b"x" * 1024])
