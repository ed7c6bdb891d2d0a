"""Images are removed from an OCI layout, and then the blobs that nothing needs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.support.fake_nix_store import FakeStore, example, run

import lamina
from lamina.errors import FormatError, InputError, InvalidArgument, NotFound, Unavailable
from lamina.images.layout_lock import lock_blobs
from lamina.images.prune import LayoutBlob, LayoutImage, LayoutPruneResult, prune


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layout with hello:1, hello:2 and words:1, and with the blobs of an image that was replaced."""
    folder = tmp_path_factory.mktemp("built")
    store, _ = example(folder / "root")
    layout = folder / "layout"
    for name, tag, user in (("hello", "1", "0"), ("words", "1", "0"), ("hello", "2", "1"), ("hello", "2", "2")):
        build(store, layout, name, tag, user)
    return layout


def build(store: FakeStore, layout: Path, name: str, tag: str, user: str = "0") -> None:
    lamina.build_layered_image(
        contents=[name],
        tag=tag,
        config={"User": user},
        store=str(store.root),
        architecture="amd64",
        output=f"{layout}/",
    )


@pytest.fixture
def layout(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "layout"))


def blobs(layout: Path) -> set[str]:
    return {file.name for file in (layout / "blobs/sha256").iterdir()}


def names(layout: Path) -> list[str]:
    return sorted(name for image in lamina.inspect(layout) for name in image.repo_tags)


def add_entry(layout: Path, document: bytes, **item: object) -> str:
    """Add a blob and an entry of the index that refers to it; return its digest."""
    import hashlib

    digest = hashlib.sha256(document).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(document)
    index = json.loads((layout / "index.json").read_text())
    index["manifests"].append({"digest": f"sha256:{digest}", "size": len(document), **item})
    (layout / "index.json").write_text(json.dumps(index))
    return digest


def test_blobs_that_no_image_needs_are_removed(layout: Path) -> None:
    before, index = blobs(layout), (layout / "index.json").read_bytes()
    result = prune(layout)
    assert [image.name for image in result.kept] == ["hello:1", "words:1", "hello:2"]
    assert (result.removed, len(result.blobs)) == ((), 2)  # the config and the manifest of the image that was replaced
    assert {blob.digest for blob in result.blobs} == {f"sha256:{name}" for name in before - blobs(layout)}
    assert (layout / "index.json").read_bytes() == index
    assert names(layout) == ["hello:1", "hello:2", "words:1"]
    assert prune(layout).blobs == ()


def test_images_that_are_not_kept_are_removed_with_their_own_blobs(layout: Path) -> None:
    result = prune(layout, ["words:*"])
    assert [image.name for image in result.removed] == ["hello:1", "hello:2"]
    assert names(layout) == ["words:1"]
    assert result.size == sum(blob.size for blob in result.blobs) > 0
    used = lamina.inspect(layout)[0]
    assert {layer.digest.hex for layer in used.layers} < blobs(layout)


def test_the_last_tags_of_each_name_stay(layout: Path) -> None:
    assert [image.name for image in prune(layout, keep_last=1).removed] == ["hello:1"]
    assert names(layout) == ["hello:2", "words:1"]


def test_an_interruption_leaves_a_whole_layout(layout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index is replaced before the first blob goes, so the next run only has blobs left to remove."""
    removed: list[Path] = []
    unlink = Path.unlink

    def interrupt(file: Path, **options: bool) -> None:
        if removed:
            raise KeyboardInterrupt
        removed.append(file)
        unlink(file, **options)

    planned = prune(layout, ["words:1"], dry_run=True)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", interrupt)
        with pytest.raises(KeyboardInterrupt):
            prune(layout, ["words:1"])
    assert names(layout) == ["words:1"]
    rest = prune(layout)
    assert len(rest.blobs) == len(planned.blobs) - 1


def test_a_dry_run_changes_nothing(layout: Path) -> None:
    before, index = blobs(layout), (layout / "index.json").read_bytes()
    planned = prune(layout, ["words:1"], dry_run=True)
    assert (blobs(layout), (layout / "index.json").read_bytes()) == (before, index)
    assert prune(layout, ["words:1"]) == planned


def test_a_pattern_that_fits_nothing_removes_nothing(layout: Path) -> None:
    before = blobs(layout)
    with pytest.raises(NotFound):
        prune(layout, ["hello:1", "nosuch"])
    assert blobs(layout) == before


def test_while_an_image_is_written_nothing_is_removed(layout: Path) -> None:
    before = blobs(layout)
    with lock_blobs(layout, shared=True):
        with pytest.raises(Unavailable, match="another process that uses it"):
            prune(layout, ["words:1"])
        assert prune(layout, ["words:1"], dry_run=True).blobs
    assert blobs(layout) == before


def test_a_writer_holds_the_lock_while_it_works(layout: Path, tmp_path: Path) -> None:
    """A blob that the writer has found must not go before the index refers to it."""
    store, _ = example(tmp_path / "root")
    errors: list[str] = []

    class PruneMeanwhile(lamina.Progress):
        def start(self, item: lamina.ProgressItem) -> None:
            with pytest.raises(Unavailable) as caught:
                prune(layout, ["words:1"])
            errors.append(str(caught.value))

    with lamina.stream_layered_image(contents=["hello"], store=str(store.root), architecture="amd64") as stream:
        stream.build(f"{layout}/", progress=PruneMeanwhile())
    assert errors
    assert prune(layout, ["words:1"]).blobs


def test_a_signature_stays_with_its_image(layout: Path) -> None:
    target = next(item for item in json.loads((layout / "index.json").read_text())["manifests"])
    layer = "e" * 64
    (layout / "blobs/sha256" / layer).write_text("signature")
    manifest = {"subject": target, "layers": [{"digest": f"sha256:{layer}", "size": 9}]}
    referrer = add_entry(layout, json.dumps(manifest).encode())
    tag = f"{target['digest'].replace(':', '-')}.sig"
    signature = add_entry(layout, b"{}", annotations={"org.opencontainers.image.ref.name": tag})
    prune(layout, ["hello:1", "words:1"])
    assert {referrer, signature, layer} < blobs(layout)
    prune(layout, ["words:1"])
    assert not {referrer, signature, layer} & blobs(layout)


def test_the_images_of_several_platforms_stay_with_their_index(layout: Path) -> None:
    items = json.loads((layout / "index.json").read_text())["manifests"]
    missing = {"digest": "sha256:" + "f" * 64, "size": 5}
    nested = add_entry(
        layout,
        json.dumps({"manifests": [items[0], missing]}).encode(),
        annotations={"org.opencontainers.image.ref.name": "many"},
    )
    prune(layout, ["many"])
    assert {nested, items[0]["digest"].partition(":")[2]} < blobs(layout)
    assert len(json.loads((layout / "index.json").read_text())["manifests"]) == 1


def test_other_files_stay(layout: Path) -> None:
    others = [layout / "blobs/sha256/README", layout / "blobs/sha256" / ("a" * 63), layout / "note"]
    for file in others:
        file.write_text("mine")
    (layout / "blobs/sha256" / ("b" * 64)).symlink_to("README")
    prune(layout, ["words:1"])
    assert all(file.exists() for file in [*others, layout / "blobs/sha256" / ("b" * 64)])


@pytest.mark.parametrize("damage", ["manifest", "json", "digest", "index"])
def test_nothing_is_removed_from_a_broken_layout(damage: str, layout: Path) -> None:
    index = json.loads((layout / "index.json").read_text())
    manifest = layout / "blobs/sha256" / index["manifests"][0]["digest"].partition(":")[2]
    if damage == "manifest":
        manifest.unlink()
    elif damage == "json":
        manifest.chmod(0o644)
        manifest.write_text("{")
    elif damage == "digest":
        index["manifests"][0]["digest"] = "sha256:../x"
        (layout / "index.json").write_text(json.dumps(index))
    else:
        (layout / "index.json").write_text("[]")
    before = blobs(layout)
    with pytest.raises(FormatError):
        prune(layout, keep_last=5)
    assert blobs(layout) == before


def test_an_image_without_its_manifest_can_be_removed(layout: Path) -> None:
    index = json.loads((layout / "index.json").read_text())
    (layout / "blobs/sha256" / index["manifests"][0]["digest"].partition(":")[2]).unlink()
    assert [image.name for image in prune(layout, ["words:1"]).removed] == ["hello:1", "hello:2"]


def test_a_layout_without_an_index_has_only_unused_blobs(layout: Path) -> None:
    """A killed run may leave one."""
    (layout / "index.json").unlink()
    prune(layout)
    assert blobs(layout) == set()
    assert not (layout / "index.json").exists()


def test_what_is_no_layout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder/blobs/sha256").mkdir(parents=True)
    (tmp_path / "file").touch()
    with pytest.raises(InputError):
        prune(tmp_path / "none")
    for name in ("folder", "file"):
        with pytest.raises(InvalidArgument, match="expected the folder of an OCI layout"):
            prune(tmp_path / name)


def test_the_verb_prints_what_goes(layout: Path) -> None:
    ran = run("layout", "prune", layout, "--keep-last", "1", "--dry-run")
    lines = ran.stdout.decode().splitlines()
    assert (ran.code, len(lines)) == (0, 2), ran.stderr
    assert lines[0].startswith("hello:1  sha256:")
    assert lines[1].startswith("1 image and 4 blobs (")
    assert lines[1].endswith(") would be removed, 2 images kept")
    ran = run("layout", "prune", layout, "--keep", "hello:2", "--json")
    document = json.loads(ran.stdout)
    assert [image["name"] for image in document["removed"]] == ["hello:1", "words:1"]
    assert [image["name"] for image in document["kept"]] == ["hello:2"]
    assert document["size"] == sum(blob["size"] for blob in document["blobs"])
    assert run("layout", "prune", layout).stdout == b"0 images and 0 blobs (0 B) removed, 1 image kept\n"


def test_a_result_is_described_in_a_line() -> None:
    result = LayoutPruneResult((LayoutImage("a:1", "sha256:0"),), (), (LayoutBlob("sha256:1", 2048),))
    assert repr(result) == "<LayoutPruneResult: 1 images removed, 0 kept, 1 blobs, 2.0 KiB>"
