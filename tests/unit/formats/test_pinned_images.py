"""The file ``lamina.lock``."""

import random
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.core.names import Digest
from lamina.errors import FormatError
from lamina.formats.pinned_images import PinnedImage, PinnedImages
from lamina.formats.registry_references import RegistryReference

ONE = "sha256:" + "1" * 64
ENTRY = f'[[image]]\nreference = "debian:12"\ndigest = "{ONE}"\n'


def pin(reference: str, digit: str = "1") -> PinnedImage:
    return PinnedImage(RegistryReference.parse(reference), Digest.parse(f"sha256:{digit * 64}"))


def test_the_file_is_sorted_and_has_whole_names() -> None:
    pinned = PinnedImages.of([pin("ghcr.io/a/b:2"), pin("debian"), pin("debian:12"), pin("debian", "2")])
    assert pinned.dump().decode() == (
        '# Written by "lamina lock". Keep this file under version control.\n'
        "version = 1\n"
        "\n"
        "[[image]]\n"
        'reference = "docker.io/library/debian:12"\n'
        f'digest = "{ONE}"\n'
        "\n"
        "[[image]]\n"
        'reference = "docker.io/library/debian:latest"\n'
        f'digest = "sha256:{"2" * 64}"\n'
        "\n"
        "[[image]]\n"
        'reference = "ghcr.io/a/b:2"\n'
        f'digest = "{ONE}"\n'
    )


REFERENCES = st.sampled_from(["debian:12", "localhost:5000/a:x", "ghcr.io/a/b_c/d:1.0-x", "me/app:_1"])
IMAGES = st.lists(st.builds(pin, REFERENCES, st.sampled_from("0123456789abcdef")))


@given(IMAGES, st.randoms())
def test_what_is_written_is_read_again_and_the_order_does_not_matter(
    images: list[PinnedImage], chance: random.Random
) -> None:
    pinned = PinnedImages.of(images)
    assert PinnedImages.parse(pinned.dump(), "lamina.lock") == pinned
    shuffled = list(pinned.images)
    chance.shuffle(shuffled)
    assert PinnedImages.of(shuffled).dump() == pinned.dump()
    for image in pinned.images:
        assert pinned.find(image.reference) == image.digest


def test_an_image_is_found_by_its_reference_in_any_spelling() -> None:
    pinned = PinnedImages.parse(b"version = 1\n" + ENTRY.encode(), "x")
    debian = RegistryReference.parse("docker://docker.io/library/debian:12")
    assert pinned.find(debian) == Digest.parse(ONE)
    assert pinned.find(RegistryReference.parse("debian:11")) is None


def test_a_file_without_images_pins_nothing() -> None:
    assert PinnedImages.parse(b"version = 1\n", "x") == PinnedImages(())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x: got version None, expected a file that lamina lock wrote, version 1"),
        ("version = 2", "x: got version 2, expected a file"),
        ("version = true", "x: got version True, expected a file"),
        ("<<<<<<< HEAD\nversion = 1", "expected a file that lamina lock wrote"),
        ("version = 1\nimages = []", "x: got the key 'images', expected version, and a list of"),
        ("version = 1\nimage = 5", "x: got the key 'image', expected version, and a list of"),
        ("version = 1\nimage = [5]", "x: image 1: got 5, expected the texts reference, digest"),
        ("version = 1\n[[image]]\nreference = 'a'", "x: image 1: got .* expected the texts"),
        ("version = 1\n" + ENTRY.replace('"debian:12"', "5"), "x: image 1: got .* expected the texts"),
        ("version = 1\n" + ENTRY + "more = 'x'", "x: image 1: got .* expected the texts"),
        ("version = 1\n" + ENTRY.replace("debian:12", "A B"), "x: image 1: image name: got 'docker.io/library/A B'"),
        ("version = 1\n" + ENTRY.replace("debian:12", f"a@{ONE}"), "x: image 1: got the reference .*without a digest"),
        ("version = 1\n" + ENTRY.replace("1" * 64, "1"), "x: image 1: digest: got 'sha256:1'"),
        ("version = 1\n" + ENTRY + ENTRY, "x: got an image twice, expected each"),
    ],
)
def test_another_file_is_refused_with_a_hint(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message) as raised:
        PinnedImages.parse(text.encode(), "x")
    assert raised.value.hint == "run lamina lock again"


@given(st.one_of(st.binary(), st.text().map(lambda text: f"version = 1\n{text}".encode())))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    with suppress(FormatError):
        assert PinnedImages.parse(data, "x") == PinnedImages(())
