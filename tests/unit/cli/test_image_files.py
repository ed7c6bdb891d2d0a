"""Images and ROOTs are told apart."""

from pathlib import Path

import pytest

from lamina.cli import image_files
from lamina.cli.image_files import is_image


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with files, links, and a store below it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(image_files, "STORE_DIR", str(tmp_path / "nix/store"))
    for name in ("nix/store/1-app", "layout", "folder"):
        Path(name).mkdir(parents=True)
    for name in ("nix/store/2-app.tar.gz", "nix/store/3-script", "layout/oci-layout", "image", "default.nix", "odd#1"):
        Path(name).touch()
    for name, target in (("result", "1-app"), ("result-image", "2-app.tar.gz"), ("result-script", "3-script")):
        Path(name).symlink_to(tmp_path / "nix/store" / target)
    return tmp_path


@pytest.mark.parametrize(
    "text",
    [
        *("image", "image#app:1", "odd#1", "layout", "layout/", "layout#app:1", "result-image", "result-image#app:1"),
        *("none.tar", "none.TGZ", "none.tar.zst#app", "oci:none:1", "docker://app:1", "./nix/store/2-app.tar.gz"),
        *("app:1", "ghcr.io/me/app", "localhost:5000/app:1", f"app@sha256:{'0' * 64}"),
    ],
)
def test_files_layouts_references_and_what_is_named_like_them_are_images(text: str) -> None:
    assert is_image(text)


@pytest.mark.parametrize(
    "text",
    [
        *("hello", "hello-2.12", "hello^dev", "nixpkgs#hello", ".#app", "default.nix", "default.nix#app", "folder"),
        *(
            "result",
            "result-script",
            "./nix/store/1-app",
            "./nix/store/3-script",
            "none/oci-layout",
            "/nix/store/none:1",
        ),
    ],
)
def test_everything_else_is_a_root(text: str) -> None:
    assert not is_image(text)
