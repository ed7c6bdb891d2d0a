"""Images are merged into one archive: each unchanged, shared layers once, and no name for two of them."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.support.fake_nix_store import example
from tests.support.image_files import LayoutBuilder, config, docker_archive, layer, platform, sha256, tar
from tests.support.progress import RecordedProgress

import lamina
from lamina.cli.group import group
from lamina.compression import libraries
from lamina.errors import FormatError, InputError, InvalidArgument, NotFound, OutputError, PlanError
from lamina.formats.platform import Platform
from lamina.images.merge import collect_images

SHARED, ONE, TWO = layer("etc/shared"), layer("etc/one"), layer("etc/two")


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Three images of which two share a layer: two docker-archives, one of them compressed, and an OCI layout."""
    (tmp_path / "one.tar").write_bytes(docker_archive({"a.tar": SHARED, "b.tar": ONE}, entry={"RepoTags": ["one:1"]}))
    two = docker_archive({"1.tar": SHARED, "2.tar": TWO}, entry={"RepoTags": ["two:1", "two:2"]})
    (tmp_path / "two.tar.gz").write_bytes(gzip.compress(two))
    layout = LayoutBuilder()
    layout.index(layout.image([ONE, TWO], compress=gzip.compress, ending="+gzip"))
    layout.write(tmp_path / "three")
    return [tmp_path / "one.tar", tmp_path / "two.tar.gz", tmp_path / "three"]


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {item.name: archive.extractfile(item).read() for item in archive}  # type: ignore[union-attr]


# The merged archive


def test_every_image_keeps_its_id_its_names_and_its_json(images: list[Path], tmp_path: Path) -> None:
    made = lamina.merge_images(images, output=tmp_path / "all.tar")
    before = [image for path in images for image in lamina.inspect(path)]
    after = lamina.inspect(tmp_path / "all.tar")
    assert [image.id for image in made] == [image.id for image in after] == [image.id for image in before]
    assert [image.config_json for image in after] == [image.config_json for image in before]
    assert [image.repo_tags for image in after] == [("one:1",), ("two:1", "two:2"), ()]
    for old, new in zip(before, after, strict=True):
        assert [item.diff_id for item in new.layers] == [item.diff_id for item in old.layers]


def test_a_layer_is_stored_once_and_uncompressed(images: list[Path], tmp_path: Path) -> None:
    lamina.merge_images(images, output=tmp_path / "all.tar")
    found = members((tmp_path / "all.tar").read_bytes())
    assert [found[f"{number}.tar"] for number in (1, 2, 3)] == [SHARED, ONE, TWO]
    assert len(found) == 3 + 3 + 1
    assert list(found)[-1] == "manifest.json"
    assert [entry["Layers"] for entry in json.loads(found["manifest.json"])] == [
        ["1.tar", "2.tar"],
        ["1.tar", "3.tar"],
        ["2.tar", "3.tar"],
    ]


def test_the_same_images_give_the_same_bytes(images: list[Path], tmp_path: Path) -> None:
    out = io.BytesIO()
    for output in (tmp_path / "a.tar", tmp_path / "b.tar", out):
        lamina.merge_images(images, output=output)
        os.utime(images[0], (5, 5))
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes() == out.getvalue()
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert {(item.mtime, item.uid, item.gid, item.uname, item.mode) for item in archive} == {(1, 0, 0, "", 0o644)}


def test_the_ending_chooses_the_compressor_and_the_argument_wins(images: list[Path], tmp_path: Path) -> None:
    lamina.merge_images(images, output=tmp_path / "all.tar")
    plain = (tmp_path / "all.tar").read_bytes()
    lamina.merge_images(images, output=tmp_path / "all.tar.gz")
    assert gzip.decompress((tmp_path / "all.tar.gz").read_bytes()) == plain
    lamina.merge_images(images, output=tmp_path / "x.tar.gz", compressor="zstd")
    assert libraries.zstd().decompress((tmp_path / "x.tar.gz").read_bytes()) == plain
    with pytest.raises(InvalidArgument, match=r"compressor: got 'xz', expected one of none, gz, zstd"):
        lamina.merge_images(images, output=tmp_path / "y.tar", compressor="xz")


def test_an_image_may_be_in_several_files_under_several_names(tmp_path: Path) -> None:
    for number in (1, 2):
        data = docker_archive({f"{number}.tar": ONE}, entry={"RepoTags": [f"x:{number}"]})
        (tmp_path / f"{number}.tar").write_bytes(data)
    (made,) = lamina.merge_images([tmp_path / "1.tar", tmp_path / "2.tar", tmp_path / "1.tar"], output=io.BytesIO())
    assert made.repo_tags == ("x:1", "x:2")


def test_what_lamina_writes_is_merged_with_its_store_paths(tmp_path: Path) -> None:
    store, _ = example(tmp_path / "root")
    built = [
        lamina.build_layered_image(
            name=name, tag="1", contents=[name], store=str(store.root), output=f"{tmp_path}/{name}"
        )
        for name in ("hello", "words")
    ]
    made = lamina.merge_images([tmp_path / "hello", tmp_path / "words"], output=tmp_path / "all")
    found = lamina.inspect(tmp_path / "all")
    assert [image.id for image in found] == [image.id for image in built] == [image.id for image in made]
    assert [layer.paths for layer in found[0].layers] == [layer.paths for layer in built[0].layers]


def test_one_of_the_images_may_be_replaced(images: list[Path]) -> None:
    lamina.merge_images(images[:2], output=images[0])
    assert [image.repo_tags for image in lamina.inspect(images[0])] == [("one:1",), ("two:1", "two:2")]


# Images that are refused


def test_two_images_of_one_name_are_refused_and_nothing_is_written(images: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "other.tar"
    other.write_bytes(docker_archive({"1.tar": TWO}, entry={"RepoTags": ["one:1"]}))
    with pytest.raises(
        InvalidArgument, match=rf"^one:1: got two images, sha256:.* in {images[0]} and .* in {other}, expected"
    ):
        lamina.merge_images([*images, other], output=tmp_path / "all.tar")
    assert not (tmp_path / "all.tar").exists()


def test_the_platforms_of_an_index_cannot_share_a_name_in_an_archive(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    arm = layout.image([ONE], config_more={"architecture": "arm64"}, platform=platform("arm64"))
    both = [arm, layout.image([TWO], platform=platform("amd64"))]
    layout.index(layout.nested(both, annotations={"org.opencontainers.image.ref.name": "x:1"}))
    layout.write(tmp_path / "layout")
    with pytest.raises(InvalidArgument, match=r"^x:1: got two images"):
        lamina.merge_images([tmp_path / "layout"], output=io.BytesIO())


@pytest.mark.parametrize("name", ["app:1", "library/app:1", "docker.io/library/app:1", "index.docker.io/app:1"])
@pytest.mark.parametrize("other", ["app:1", "docker.io/app:1", "docker.io/library/app:1"])
def test_every_spelling_of_a_name_is_one_name(tmp_path: Path, name: str, other: str) -> None:
    """distribution/reference, "Normalization": loading the second would take the name from the first."""
    one, two = tmp_path / "one.tar", tmp_path / "two.tar"
    one.write_bytes(docker_archive({"1.tar": ONE}, entry={"RepoTags": [name]}))
    two.write_bytes(docker_archive({"1.tar": TWO}, entry={"RepoTags": [other]}))
    with pytest.raises(InvalidArgument, match=rf"^{other}: got two images, "):
        lamina.merge_images([one, two], output=tmp_path / "all.tar")
    two.write_bytes(docker_archive({"2.tar": ONE}, entry={"RepoTags": [other]}))
    (made,) = lamina.merge_images([one, two], output=tmp_path / "all.tar")
    assert made.repo_tags == (name,)


def test_other_names_of_one_ending_are_other_names(tmp_path: Path) -> None:
    names = ["app:1", "app:2", "me/app:1", "localhost/app:1", "registry.example/library/app:1", "docker.io/me/app:2"]
    for number, name in enumerate(names):
        data = docker_archive({"1.tar": layer(name)}, entry={"RepoTags": [name]})
        (tmp_path / f"{number}.tar").write_bytes(data)
    made = lamina.merge_images([tmp_path / f"{number}.tar" for number in range(6)], output=tmp_path / "all.tar")
    assert [image.repo_tags for image in made] == [(name,) for name in names]


def test_one_platform_or_one_image_of_several_is_merged(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    both = [
        layout.image([content], config_more={"architecture": word}, platform=platform(word))
        for word, content in (("amd64", ONE), ("arm64", TWO))
    ]
    layout.index(layout.nested(both, annotations={"org.opencontainers.image.ref.name": "x:1"}))
    layout.write(tmp_path / "layout")
    out = tmp_path / "all.tar"
    with pytest.raises(InvalidArgument, match=r"^x:1: got two images") as caught:
        lamina.merge_images([tmp_path / "layout"], output=out)
    assert "--platform" in caught.value.hint
    (made,) = lamina.merge_images([tmp_path / "layout"], output=out, platform="aarch64")
    assert made.platform == "linux/arm64"
    assert run(tmp_path / "layout", "-o", out, "--platform", "linux/amd64", "--json").exit_code == 0
    assert [image.platform for image in lamina.inspect(out)] == ["linux/amd64"]
    (made,) = lamina.merge_images([f"{tmp_path}/layout#{made.id}"], output=out)
    assert made.platform == "linux/arm64"
    with pytest.raises(PlanError, match=r"layout: got images for linux/amd64, linux/arm64, expected one for linux/386"):
        lamina.merge_images([tmp_path / "layout"], output=out, platform="386")
    with pytest.raises(NotFound, match=r"layout: got no image y:1, expected one of sha256:.* \(.*linux/amd64\)"):
        lamina.merge_images([f"{tmp_path}/layout#y:1"], output=out)


def test_a_name_that_several_platforms_share_is_listed_with_their_ids(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    made = [
        layout.image([], config_more={"architecture": name}, platform=platform(name)) for name in ("arm64", "amd64")
    ]
    layout.index(layout.nested(made, annotations={"org.opencontainers.image.ref.name": "app:1"}))
    layout.write(tmp_path)
    both = r"sha256:\w+ \(app:1, linux/arm64\), sha256:\w+ \(app:1, linux/amd64\)$"
    for name, got in (("zzz", "no image zzz"), ("", "an empty name")):
        with pytest.raises(NotFound, match=rf"got {got}, expected one of {both}") as caught:
            collect_images([f"{tmp_path}#{name}"])
        assert "#NAME:TAG" in caught.value.hint
    with pytest.raises(PlanError) as misfit:
        collect_images([f"{tmp_path}#app:1"], Platform.parse("s390x"))
    assert misfit.value.hint == "choose one of these platforms with --platform, or use another image"


def test_bare_tags_of_layouts_are_not_names_in_an_archive(tmp_path: Path) -> None:
    for number, content in enumerate((ONE, TWO)):
        layout = LayoutBuilder()
        layout.index(layout.image([content], annotations={"org.opencontainers.image.ref.name": "latest"}))
        layout.write(tmp_path / str(number))
    made = lamina.merge_images([tmp_path / "0", tmp_path / "1"], output=tmp_path / "all.tar")
    assert [(image.repo_tags, image.tags) for image in made] == [((), ("latest",))] * 2
    assert [image.repo_tags for image in lamina.inspect(tmp_path / "all.tar")] == [(), ()]


def test_a_file_that_is_not_an_image_is_refused_and_nothing_is_written(images: list[Path], tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    for path, kind in ((tmp_path / "text", FormatError), (tmp_path / "missing", InputError)):
        with pytest.raises(kind):
            lamina.merge_images([*images, path], output=tmp_path / "all.tar")
    assert not (tmp_path / "all.tar").exists()
    with pytest.raises(InvalidArgument, match=r"images: got none, expected at least one"):
        lamina.merge_images([], output=tmp_path / "all.tar")
    with pytest.raises(InvalidArgument, match=r"images: got 'one.tar', expected a list of image files"):
        lamina.merge_images("one.tar", output=tmp_path / "all.tar")
    with pytest.raises(OutputError):
        lamina.merge_images(images, output=tmp_path / "missing/all.tar")


# The command line


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(group, ["merge", *map(str, arguments)], standalone_mode=False, catch_exceptions=False)


def test_the_command_prints_the_file_and_its_progress(images: list[Path], tmp_path: Path) -> None:
    result = run(*images, "-o", tmp_path / "all.tar")
    assert result.stdout == f"{tmp_path}/all.tar\n"
    assert result.stderr.splitlines() == [
        "layer 1/3  a.tar                     10.0 KiB  copied",
        "layer 2/3  b.tar                     10.0 KiB  copied",
        "layer 3/3  2.tar                     10.0 KiB  copied",
        "3 images  3 layers  30.0 KiB",
    ]
    assert run(*images, "-o", tmp_path / "all.tar", "--progress", "nix").stderr.splitlines() == [
        "Adding layer 1 from a.tar",
        "Adding layer 2 from b.tar",
        "Adding layer 3 from 2.tar",
        "Adding manifests...",
        "Done.",
    ]
    assert run(*images, "-o", tmp_path / "all.tar", "--quiet").stderr == ""


def test_the_command_writes_to_stdout(images: list[Path], tmp_path: Path) -> None:
    result = run(*images, "-o", "-", "--compressor", "gz", "--json")
    run(*images, "-o", tmp_path / "all.tar")
    assert gzip.decompress(result.stdout_bytes) == (tmp_path / "all.tar").read_bytes()
    document = json.loads(result.stderr)
    assert document["version"] == 1
    assert [image["repo_tags"] for image in document["images"]] == [["one:1"], ["two:1", "two:2"], []]


def test_the_json_of_the_command_matches_inspect(images: list[Path], tmp_path: Path) -> None:
    document = json.loads(run(*images[:1], "-o", tmp_path / "all.tar", "--json").stdout)
    (image,) = lamina.inspect(tmp_path / "all.tar")
    assert document["images"][0]["id"] == image.id == sha256(image.config_json)
    assert document["images"][0]["layers"] == [
        {"diff_id": sha256(content), "digest": sha256(content), "size": len(content), "paths": []}
        for content in (SHARED, ONE)
    ]


def test_an_image_without_layers_is_merged(tmp_path: Path) -> None:
    empty = config([])
    manifest = json.dumps([{"Config": "c.json", "RepoTags": None, "Layers": []}]).encode()
    (tmp_path / "empty.tar").write_bytes(tar({"c.json": empty, "manifest.json": manifest}))
    (made,) = lamina.merge_images([tmp_path / "empty.tar"], output=tmp_path / "all.tar")
    assert made.layers == ()
    assert lamina.inspect(tmp_path / "all.tar")[0].id == sha256(empty)


def test_progress_names_the_customisation_layer(tmp_path: Path) -> None:
    lamina.build_layered_image(name="a", extra_commands="echo a > a", output=tmp_path / "a.tar")
    progress = RecordedProgress()
    lamina.merge_images([tmp_path / "a.tar"], output=tmp_path / "all.tar", progress=progress)
    assert [item.name for item in progress.works[-1].items] == ["customisation layer"]
