"""References of images where a file is expected: the error says how to get a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lamina.errors import InputError
from lamina.images.readers.open import open_images
from lamina.images.readers.references import find_reference_error

SAVE = "save it to a file first: "
LEAVE = "leave the transport out: "
REGISTRY = f"for an image in a registry, {SAVE}"
DIGEST = "sha256:" + "ab" * 32
CASES = {
    "docker://debian:12": f"{SAVE}skopeo copy docker://debian:12 docker-archive:debian.tar",
    f"docker://ghcr.io/x/y@{DIGEST}": f"{SAVE}skopeo copy docker://ghcr.io/x/y@{DIGEST} docker-archive:y.tar",
    "debian:12": f"{REGISTRY}skopeo copy docker://debian:12 docker-archive:debian.tar",
    "debian": f"{REGISTRY}skopeo copy docker://debian docker-archive:debian.tar",
    "ghcr.io/x/y:1": f"{REGISTRY}skopeo copy docker://ghcr.io/x/y:1 docker-archive:y.tar",
    "ghcr.io/x/y": f"{REGISTRY}skopeo copy docker://ghcr.io/x/y docker-archive:y.tar",
    "localhost:5000/app": f"{REGISTRY}skopeo copy docker://localhost:5000/app docker-archive:app.tar",
    "docker-daemon:app:1": f"{SAVE}docker save app:1 -o app.tar",
    "containers-storage:localhost/app:1": f"{SAVE}podman save localhost/app:1 -o app.tar",
    "dir:/images/app": f"{SAVE}skopeo copy dir:/images/app docker-archive:app.tar",
    "oci:layout": f"{LEAVE}write layout",
    "oci:/srv/layout:v1": f"{LEAVE}write /srv/layout#v1",
    "oci-archive:app.tar": f"{LEAVE}write app.tar",
    "docker-archive:app.tar:app:1": f"{LEAVE}write app.tar#app:1",
    "-": "write /dev/stdin",
    "https://example.org/app.tar": "download the file first: curl -LO https://example.org/app.tar",
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("text", CASES)
def test_a_reference_is_refused_with_what_to_do(text: str) -> None:
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


@pytest.mark.parametrize("name", ["debian:12", "oci:x", "debian"])
def test_a_file_that_exists_is_no_reference(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    assert find_reference_error(name) is None


def test_a_name_after_a_file_and_a_colon_belongs_after_a_hash(tmp_path: Path) -> None:
    (tmp_path / "app.tar").write_bytes(b"")
    error = find_reference_error("app.tar:app:1")
    assert error
    assert error.hint == "app.tar#app:1 chooses an image in app.tar"


def test_a_folder_that_skopeo_wrote_with_dir_is_named(tmp_path: Path) -> None:
    (tmp_path / "version").write_text("Directory Transport Version: 1.1\n")
    (tmp_path / "manifest.json").write_text(json.dumps({"schemaVersion": 2, "layers": []}))
    with pytest.raises(InputError, match=r"got a folder in the format of skopeo's dir:") as caught:
        open_images(tmp_path)
    assert f"skopeo copy dir:{tmp_path} docker-archive:{tmp_path.name}.tar" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "got"), [("debian:12", "the name of an image in a registry"), ("debian", "no such file")]
)
def test_a_single_word_may_be_a_file_that_is_missing(text: str, got: str) -> None:
    error = find_reference_error(text)
    assert error
    assert error.got == got
