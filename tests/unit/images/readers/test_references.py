"""References to images, and names of files: which is which, and what an error says of those that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lamina.errors import InputError, InvalidArgument
from lamina.images.readers.open import open_images
from lamina.images.readers.references import find_layout, find_reference, find_reference_error, has_tag_or_digest

SAVE = "save it to a file first: "
LEAVE = "leave the transport out: "
DIGEST = "sha256:" + "ab" * 32
REFERENCES = {
    "docker://debian:12": "docker.io/library/debian:12",
    "docker://debian": "docker.io/library/debian:latest",
    f"docker://ghcr.io/x/y@{DIGEST}": f"ghcr.io/x/y@{DIGEST}",
    "debian:12": "docker.io/library/debian:12",
    "me/app:1": "docker.io/me/app:1",
    "ghcr.io/x/y:1": "ghcr.io/x/y:1",
    "ghcr.io/x/y": "ghcr.io/x/y:latest",
    "localhost:5000/app": "localhost:5000/app:latest",
    f"app:1@{DIGEST}": f"docker.io/library/app:1@{DIGEST}",
}
CASES = {
    "debian": "docker://debian is an image in a registry",
    "docker-daemon:app:1": f"{SAVE}docker save app:1 -o app.tar",
    "containers-storage:localhost/app:1": f"{SAVE}podman save localhost/app:1 -o app.tar",
    "dir:/images/app": f"{SAVE}skopeo copy dir:/images/app docker-archive:app.tar",
    "oci-archive:app.tar": f"{LEAVE}write app.tar",
    "docker-archive:app.tar:app:1": f"{LEAVE}write app.tar#app:1",
    "-": "write /dev/stdin",
    "https://example.org/app.tar": "download the file first: curl -LO https://example.org/app.tar",
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("text", REFERENCES)
def test_a_name_with_a_registry_or_a_tag_is_a_reference(text: str) -> None:
    assert str(find_reference(text)) == REFERENCES[text]
    assert find_reference_error(text) is None


@pytest.mark.parametrize(
    ("text", "hint"), [("docker://me:hunter2@ghcr.io/x", "docker login"), ("ghcr.io/Me/App:1", "write ghcr.io/me/app")]
)
def test_a_reference_with_a_mistake_is_an_error(text: str, hint: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        find_reference(text)
    assert hint in raised.value.hint
    assert "hunter2" not in f"{raised.value} {raised.value.hint}"


@pytest.mark.parametrize(
    "name", ["a:.x", "a:", "a//b", "héllo", "a b", "a" * 999, "a@sha256:12", "a:1@md5:12", "a?token=hunter2"]
)
@pytest.mark.parametrize("host", ["127.0.0.1:5400", "localhost:5000", "ghcr.io", "localhost"])
def test_what_follows_a_registry_is_no_file(host: str, name: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        find_reference(f"{host}/{name}")
    assert "hunter2" not in f"{raised.value} {raised.value.hint}"


@pytest.mark.parametrize("text", ["images.d/none.tar", "../none", "./a.b/c", "a.b/c.tar.gz"])
def test_what_may_be_a_path_is_no_reference(text: str) -> None:
    assert find_reference(text) is None


@pytest.mark.parametrize("text", CASES)
def test_what_lamina_cannot_read_is_refused_with_what_to_do(text: str) -> None:
    error = find_reference_error(text)
    assert error
    assert (error.subject, error.hint) == (text, CASES[text])


@pytest.mark.parametrize(
    "text",
    [
        "none.tar",
        "none.tar.gz",
        "./debian",
        "images/none",
        "/images/none",
        "Hello World",
        "",
        "a\0b",
        "a" * 9999,
        "oci:me:hunter2@host",
    ],
)
def test_what_may_be_a_file_is_no_reference(text: str) -> None:
    assert find_reference_error(text) is None
    assert find_reference(text) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("oci:layout", ("layout", "")),
        ("oci:/srv/layout:v1", ("/srv/layout", "v1")),
        ("oci:layout:app:1", ("layout", "app:1")),
        ("oci:", None),
        ("oci-archive:x", None),
    ],
)
def test_the_transport_of_layouts_is_understood(text: str, found: tuple[str, str] | None) -> None:
    assert find_layout(text) == found


@pytest.mark.parametrize("name", ["debian:12", "oci:x", "debian"])
def test_a_file_that_exists_is_no_reference(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    assert find_reference_error(name) is None
    assert find_reference(name) is None
    assert find_layout(name) is None


def test_a_name_after_a_file_and_a_colon_belongs_after_a_hash(tmp_path: Path) -> None:
    (tmp_path / "app.tar").write_bytes(b"")
    error = find_reference_error("app.tar:app:1")
    assert error
    assert error.hint == "app.tar#app:1 chooses an image in app.tar"
    (tmp_path / "app").write_bytes(b"")
    error = find_reference_error("app:1")
    assert error
    assert error.hint == "app#1 chooses an image in app, docker://app:1 is an image in a registry"


def test_a_folder_that_skopeo_wrote_with_dir_is_named(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("Directory Transport Version: 1.1\n")
    (tmp_path / "manifest.json").write_text(json.dumps({"schemaVersion": 2, "layers": []}))
    with pytest.raises(InputError, match=r"got a folder in the format of skopeo's dir:") as caught:
        open_images(tmp_path)
    assert f"skopeo copy dir:{tmp_path} docker-archive:{tmp_path.name}.tar" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost:5000/app", False),
        ("docker://debian", False),
        ("ghcr.io/me/app:1", True),
        (f"ghcr.io/me/app@sha256:{'0' * 64}", True),
    ],
)
def test_a_reference_without_a_tag_and_a_digest_is_a_repository(text: str, expected: bool) -> None:
    assert has_tag_or_digest(text) == expected
