"""The root file system of an image is exported as a tar with all metadata of its layers, in a fixed order."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.support.image_files import LayoutBuilder, Member, docker_archive, dump_layer, hard_link, platform, tar_member

import lamina
from lamina.cli.group import group
from lamina.errors import FormatError, IntegrityError, InvalidArgument, NotFound, PlanError


def image(
    folder: Path, *layers: Sequence[Member], name: str = "image.tar", tags: Sequence[str] | None = ("x:1",)
) -> Path:
    contents = {f"{number}.tar": dump_layer(members) for number, members in enumerate(layers)}
    (folder / name).write_bytes(docker_archive(contents, entry={"RepoTags": tags}))
    return folder / name


def export_members(image_file: Path, **arguments: Any) -> list[tarfile.TarInfo]:
    out = io.BytesIO()
    lamina.export_image(image_file, output=out, **arguments)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        return archive.getmembers()


def export_file(image_file: Path, name: str) -> bytes:
    out = io.BytesIO()
    lamina.export_image(image_file, output=out)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        file = archive.extractfile(name)
        assert file
        return file.read()


# The exported tar


def test_the_exported_root_has_a_fixed_order(tmp_path: Path) -> None:
    image_file = image(
        tmp_path,
        ["z", "etc/", "etc/old", "etc/keep", ("bin", "usr/bin"), "usr/bin/"],
        ["etc/.wh.old", "bin/tool", ("z", b"new")],
    )
    assert [member.name for member in export_members(image_file)] == [
        "./bin",
        "./etc",
        "./etc/keep",
        "./usr",
        "./usr/bin",
        "./usr/bin/tool",
        "./z",
    ]
    assert export_file(image_file, "./z") == b"new"
    assert export_file(image_file, "./usr/bin/tool") == b"bin/tool"


def test_all_metadata_of_a_header_is_kept(tmp_path: Path) -> None:
    owner: dict[str, Any] = {"uid": 1000, "gid": 3_000_000, "uname": "ann", "gname": "é", "mtime": 1_700_000_000}
    made = [
        tar_member("./", tarfile.DIRTYPE, mode=0o700, mtime=-5),
        tar_member("char", tarfile.CHRTYPE, devmajor=1, devminor=300, mode=0o600),
        tar_member("block", tarfile.BLKTYPE, devmajor=7, devminor=1, mode=0o660),
        tar_member("fifo", tarfile.FIFOTYPE, mode=0o622),
        tar_member("dir", tarfile.DIRTYPE, mode=0o1777, **owner),
        tar_member("file", tarfile.REGTYPE, mode=0o4755, **owner),
        tar_member("link", tarfile.SYMTYPE, linkname="t" * 150, mode=0o777),
        tar_member("n" * 200 + "é", tarfile.REGTYPE),
    ]
    found = {member.name.removeprefix("./"): member for member in export_members(image(tmp_path, made))}
    assert len(found) == len(made)
    for member in made:
        same = found[member.name.rstrip("/")]
        for field in ("type", "mode", "uid", "gid", "uname", "gname", "mtime", "linkname", "devmajor", "devminor"):
            assert getattr(same, field) == getattr(member, field), (member.name, field)


def test_extended_attributes_are_kept(tmp_path: Path) -> None:
    records = {
        "SCHILY.xattr.security.capability": b"\1\0\0\2\0\4\0\0\xff\n=".decode("utf-8", "surrogateescape"),
        "SCHILY.xattr.user.a": "b",
    }
    (member,) = export_members(image(tmp_path, [tar_member("ping", tarfile.REGTYPE, pax_headers=records)]))
    assert {key: value for key, value in member.pax_headers.items() if "xattr" in key} == records


def test_hard_links_stay_links_to_the_first_of_them(tmp_path: Path) -> None:
    image_file = image(
        tmp_path, ["m"], [hard_link("a", "m"), hard_link("z", "a"), ("s", "m"), hard_link("t", "s")], [("m", b"other")]
    )
    found = {member.name: (member.type, member.linkname) for member in export_members(image_file)}
    assert found == {
        "./a": (tarfile.REGTYPE, ""),
        "./m": (tarfile.REGTYPE, ""),
        "./s": (tarfile.SYMTYPE, "m"),
        "./t": (tarfile.LNKTYPE, "./s"),
        "./z": (tarfile.LNKTYPE, "./a"),
    }
    assert export_file(image_file, "./z") == b"m"


def test_the_same_image_gives_the_same_bytes_in_any_format(tmp_path: Path) -> None:
    layers = [dump_layer(["a/b", "c"]), dump_layer([".wh.c", ("d", b"x" * 5000)])]
    contents = {f"{number}.tar": layer for number, layer in enumerate(layers)}
    (tmp_path / "plain.tar").write_bytes(docker_archive(contents))
    (tmp_path / "packed.tar.gz").write_bytes(gzip.compress(docker_archive(contents)))
    layout = LayoutBuilder()
    layout.index(layout.image(layers, compress=gzip.compress, ending="+gzip"))
    layout.write(tmp_path / "layout")
    results = set()
    for name in ("plain.tar", "packed.tar.gz", "layout"):
        lamina.export_image(tmp_path / name, output=tmp_path / "root.tar")
        results.add((tmp_path / "root.tar").read_bytes())
    assert len(results) == 1
    assert len(results.pop()) % 10240 == 0


def test_the_ending_chooses_the_compressor(tmp_path: Path) -> None:
    image_file = image(tmp_path, ["a"])
    lamina.export_image(image_file, output=tmp_path / "root.tar")
    lamina.export_image(image_file, output=tmp_path / "root.tar.gz")
    assert gzip.decompress((tmp_path / "root.tar.gz").read_bytes()) == (tmp_path / "root.tar").read_bytes()
    with pytest.raises(InvalidArgument, match=r"compressor: got 'lz4'"):
        lamina.export_image(image_file, output=tmp_path / "root.tar", compressor="lz4")


def test_an_image_without_layers_is_an_empty_tar(tmp_path: Path) -> None:
    assert export_members(image(tmp_path)) == []


# Which image


def several(folder: Path) -> Path:
    paths = [
        image(folder, [name], name=f"{name}.tar", tags=tags)
        for name, tags in (("one", ["one:1", "one:2"]), ("two", ["h.io/two:1"]), ("bare", None))
    ]
    lamina.merge_images(paths, output=folder / "all.tar")
    return folder / "all.tar"


def test_one_of_several_images_is_named_or_all_are_listed(tmp_path: Path) -> None:
    image_file = several(tmp_path)
    *_, bare = lamina.inspect(image_file)
    for name, expected in (("one:2", "one"), ("h.io/two:1", "two"), (bare.id, "bare")):
        assert [member.name for member in export_members(image_file, name=name)] == [f"./{expected}"]
    listed = rf"expected one of one:1, h\.io/two:1, {bare.id} \(linux\)$"
    asked: list[tuple[str | None, str]] = [(None, "3 images"), ("two:1", "no image two:1"), ("", "an empty name")]
    for wrong, got in asked:
        with pytest.raises(NotFound, match=rf"all\.tar: got {got}, {listed}") as caught:
            export_members(image_file, name=wrong)
        assert caught.value.hint == "name one with --image"


def test_the_platforms_of_an_index_are_told_apart_by_id(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    made = [
        layout.image([dump_layer([name])], config_more={"architecture": name}, platform=platform(name))
        for name in ("arm64", "amd64")
    ]
    layout.index(layout.nested(made, annotations={"org.opencontainers.image.ref.name": "x:1"}))
    layout.write(tmp_path / "layout")
    arm, amd = lamina.inspect(tmp_path / "layout")
    with pytest.raises(
        NotFound, match=rf"got 2 images, expected one of {arm.id} \(x:1, linux/arm64\), {amd.id} \(x:1, linux/amd64\)"
    ):
        export_members(tmp_path / "layout", name="x:1")
    assert [member.name for member in export_members(tmp_path / "layout", name=arm.id)] == ["./arm64"]


def test_the_platform_asked_for_is_exported(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    made = [
        layout.image([dump_layer([name.replace("/", "-")])], config_more={"architecture": "arm", "variant": name})
        for name in ("v6", "v7")
    ]
    layout.index(layout.nested(made, annotations={"org.opencontainers.image.ref.name": "x:1"}))
    layout.write(tmp_path / "layout")
    for asked, expected in (("arm", "v7"), ("armv6l", "v6"), ("linux/arm/v8", "v7")):
        assert [member.name for member in export_members(tmp_path / "layout", platform=asked)] == [f"./{expected}"]
        assert [image.platform for image in lamina.inspect(tmp_path / "layout", platform=asked)] == [
            f"linux/arm/{expected}"
        ]
    for ask in (
        lambda: export_members(tmp_path / "layout", platform="arm/v5"),
        lambda: lamina.inspect(tmp_path / "layout", platform="s390x"),
    ):
        with pytest.raises(PlanError, match=r"layout: got images for linux/arm/v6, linux/arm/v7, expected one for"):
            ask()
    flags = ["export", f"{tmp_path}/layout#library/x:1", "-o", str(tmp_path / "root.tar"), "--platform", "arm/v6"]
    assert CliRunner().invoke(group, flags, standalone_mode=False, catch_exceptions=False).exit_code == 0
    flags = ["inspect", f"{tmp_path}/layout", "--platform", "arm/v6", "--max-unpacked-size", "10KiB", "--json"]
    result = CliRunner().invoke(group, flags, standalone_mode=False, catch_exceptions=False)
    assert json.loads(result.stdout)["id"] == lamina.inspect(tmp_path / "layout")[0].id


def test_a_bare_tag_in_a_layout_is_a_name(tmp_path: Path) -> None:
    layout = LayoutBuilder()
    layout.index(
        *(
            layout.image([dump_layer([name])], annotations={"org.opencontainers.image.ref.name": name})
            for name in ("a", "b", "1.0")
        )
    )
    layout.write(tmp_path / "layout")
    for name in ("b", "1.0"):
        assert [member.name for member in export_members(tmp_path / "layout", name=name)] == [f"./{name}"]
        assert [member.name for member in export_members(Path(f"{tmp_path}/layout#{name}"))] == [f"./{name}"]
    with pytest.raises(NotFound, match=r"layout: got 3 images, expected one of a, b, 1\.0"):
        export_members(tmp_path / "layout")
    result = CliRunner().invoke(group, ["inspect", f"{tmp_path}/layout#b", "--json"], standalone_mode=False)
    document = json.loads(result.stdout)
    assert (document["repo_tags"], document["tags"]) == ([], ["b"])


# Images that are refused


def test_layers_without_a_valid_root_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    wrong: list[list[list[Member]]] = [
        [[hard_link("a", "missing")]],
        [["f"], ["f/x"]],
        [[tar_member(".wh..", tarfile.REGTYPE)]],
    ]
    for number, layers in enumerate(wrong):
        image_file = image(tmp_path, *layers)
        with pytest.raises(FormatError, match=rf"^{image_file}: layer \d: .*: got .*, expected"):
            lamina.export_image(image_file, output=tmp_path / f"{number}.tar")
        assert not (tmp_path / f"{number}.tar").exists()


def test_a_sparse_file_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    header = tar_member("x", tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT) + bytes(1024)
    (tmp_path / "image.tar").write_bytes(docker_archive({"1.tar": header}))
    with pytest.raises(FormatError, match=r"got a sparse file, expected a file that is stored completely"):
        lamina.export_image(tmp_path / "image.tar", output=tmp_path / "root.tar")
    assert not (tmp_path / "root.tar").exists()


def test_an_inconsistent_image_is_refused(tmp_path: Path) -> None:
    image_file = image(tmp_path, [("a", b"honest")])
    image_file.write_bytes(image_file.read_bytes().replace(b"honest", b"crooks"))
    with pytest.raises(IntegrityError):
        lamina.export_image(image_file, output=tmp_path / "root.tar")


# The command line


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(group, ["export", *map(str, arguments)], standalone_mode=False, catch_exceptions=False)


def test_the_command_prints_the_file_and_its_progress(tmp_path: Path) -> None:
    image_file = image(tmp_path, ["a"])
    result = run(image_file, "-o", tmp_path / "root.tar")
    assert result.stdout == f"{tmp_path}/root.tar\n"
    id_start = lamina.inspect(image_file)[0].id[:19]
    assert result.stderr == f"x:1  {id_start}  1 layer\n"
    result = run(image_file, "-o", tmp_path / "root.tar", "--progress", "nix")
    assert result.stderr == "Exporting x:1\nDone.\n"
    result = run(image_file, "-o", "-", "--quiet")
    assert result.stdout_bytes == (tmp_path / "root.tar").read_bytes()
    assert result.stderr == ""


def test_the_command_accepts_the_name_of_an_image(tmp_path: Path) -> None:
    image_file = several(tmp_path)
    result = run(image_file, "-o", tmp_path / "root.tar.gz", "--image", "one:2", "--json", "--compressor", "none")
    document = json.loads(result.stdout)
    assert document["repo_tags"] == ["one:1", "one:2"]
    assert document["id"] == lamina.inspect(image_file)[0].id
    with tarfile.open(tmp_path / "root.tar.gz", "r:") as archive:
        assert archive.getnames() == ["./one"]


def test_an_image_is_not_overwritten_by_its_own_export(tmp_path: Path) -> None:
    image_file = image(tmp_path, ["a"])
    before = image_file.read_bytes()
    (tmp_path / "link").symlink_to(image_file)
    for output in (image_file, tmp_path / "link"):
        with pytest.raises(lamina.InvalidArgument, match="the image itself, expected another file"):
            lamina.export_image(image_file, output=output)
    assert image_file.read_bytes() == before
