"""References are parsed under the name of their argument, and other destinations are answered with the way there."""

from pathlib import Path

import pytest

from lamina.errors import InvalidArgument
from lamina.inputs.registry_names import parse_reference, parse_references, parse_targets


@pytest.mark.parametrize("text", ["ghcr.io/me/app:1", "docker://ghcr.io/me/app:1"])
def test_a_reference_may_have_the_transport_of_registries(text: str) -> None:
    (reference,) = parse_targets("to", text)
    assert str(reference) == "ghcr.io/me/app:1"
    assert parse_targets("to", [reference, text]) == (reference, reference)


def test_a_name_without_host_and_tag_is_that_of_docker() -> None:
    assert str(parse_targets("to", ["app"])[0]) == "docker.io/library/app:latest"


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("oci:images", "lamina build … -o images/ writes an OCI layout"),
        ("oci:a/b/:1", "lamina build … -o a/b/ writes an OCI layout"),
        ("dir:images", "lamina build … -o images/ writes an OCI layout"),
        ("docker-archive:x.tar:y:1", "lamina build … -o x.tar writes an image file"),
        ("docker-daemon:app:1", "lamina stream … | docker load brings the image to docker"),
        ("containers-storage:app:1", "lamina stream … | podman load brings the image to podman"),
    ],
)
def test_another_transport_is_answered_with_the_way_to_it(text: str, way: str) -> None:
    with pytest.raises(InvalidArgument, match="--to: got the transport ") as caught:
        parse_targets("--to", text)
    assert caught.value.hint == way


@pytest.mark.parametrize(
    "value", [(), "", "./x", "/x", "a b", "https://ghcr.io/x", "u:secret@ghcr.io/x", b"x", None, 1]
)
def test_what_is_no_reference_is_refused_under_its_name(value: object) -> None:
    with pytest.raises(InvalidArgument, match=r"^to: ") as caught:
        parse_targets("to", value)  # type: ignore[arg-type]
    assert "secret" not in str(caught.value)


def test_a_file_or_folder_that_exists_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    Path("a.tar").touch()
    for text in ("images", "a.tar"):
        with pytest.raises(InvalidArgument, match="a file or folder"):
            parse_targets("to", text)
        with pytest.raises(InvalidArgument, match="a file or folder") as caught:
            parse_reference("reference", text)
        assert caught.value.hint == f"docker://{text} is an image in a registry"


def test_an_image_to_read_is_not_answered_with_the_way_to_write_one() -> None:
    with pytest.raises(
        InvalidArgument, match="cache_from: image reference: got the transport docker-daemon:"
    ) as caught:
        parse_references("cache_from", "docker-daemon:app:1")
    assert caught.value.hint == "save it to a file first: docker save app:1 -o app.tar"


def test_a_digest_is_no_target_but_names_an_image_to_read() -> None:
    text = f"ghcr.io/me/app@sha256:{'0' * 64}"
    assert [str(found) for found in parse_references("cache_from", text)] == [text]
    with pytest.raises(InvalidArgument, match="a name with a digest"):
        parse_targets("to", text)
    assert parse_references("cache_from", ()) == ()
