"""Several spellings of one image name, and the one that docker shows."""

import pytest

from lamina.core.names import ImageReference
from lamina.formats.image_names import DistinctNames, canonical_name, familiar_name, full_name


@pytest.mark.parametrize(
    ("name", "full", "familiar"),
    [
        ("app:1", "docker.io/library/app:1", "app:1"),
        ("library/app:1", "docker.io/library/app:1", "app:1"),
        ("docker.io/library/app:1", "docker.io/library/app:1", "app:1"),
        ("index.docker.io/app:1", "docker.io/library/app:1", "app:1"),
        ("me/app:1", "docker.io/me/app:1", "me/app:1"),
        ("localhost/app:1", "localhost/app:1", "localhost/app:1"),
        ("host:5000/a/b:1", "host:5000/a/b:1", "host:5000/a/b:1"),
        ("ghcr.io/library/app:1", "ghcr.io/library/app:1", "ghcr.io/library/app:1"),
    ],
)
def test_a_name_has_a_full_and_a_familiar_spelling(name: str, full: str, familiar: str) -> None:
    reference = ImageReference.parse(name)
    assert full_name(reference) == full
    assert str(familiar_name(reference)) == familiar
    assert canonical_name(name) == full


def test_a_name_without_a_tag_has_the_tag_latest() -> None:
    assert canonical_name("app") == "docker.io/library/app:latest"


@pytest.mark.parametrize("name", ["", "A b", "x" * 2000])
def test_what_is_no_name_stays_as_it_is(name: str) -> None:
    assert canonical_name(name) == name


def test_names_are_kept_once_in_their_first_spelling() -> None:
    names = DistinctNames()
    names.add(["library/app:1", "other:1"])
    names.add(["app:1", "docker.io/other:1", "app:2"])
    assert list(names) == ["library/app:1", "other:1", "app:2"]
