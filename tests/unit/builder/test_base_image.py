"""Base images: their layers, their Env and their folders are kept; anything else only if it is asked for."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import FakeStore, Program, call, example, run
from tests.support.image_files import LayoutBuilder, docker_archive, platform, sha256, tar

import lamina
from lamina.errors import FormatError, IntegrityError, InvalidArgument, NotFound, PlanError
from lamina.layers.layer import FinishedLayer

_ENV = {"Env": ["FROM_PARENT=1", "LAST_LAYER=parent", "PATH=/bin"]}
_LOWER = tar({"usr/": None, "usr/bin/": None, "usr/bin/sh": b"sh", "bin": "usr/bin", "tmp/": None})
_UPPER = tar({"etc/": None, "etc/os-release": b"ID=base\n"})


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


def write_base(folder: Path, container: Mapping[str, Any] = _ENV, **more: Any) -> Path:
    """Write a docker-archive of two layers, in which ``/bin`` is a symlink to ``usr/bin``."""
    diff_ids = [sha256(_LOWER), sha256(_UPPER)]
    rootfs = {"type": "layers", "diff_ids": diff_ids}
    config = {"os": "linux", "architecture": "amd64", "config": container, "rootfs": rootfs}
    file = folder / "base.tar"
    file.write_bytes(docker_archive({"a/layer.tar": _LOWER, "b/layer.tar": _UPPER}, config=config | more))
    return file


def make_stream(store: FakeStore, image: Path, **arguments: Any) -> lamina.Stream:
    named = {"contents": ["hello"], "store": str(store.root), "architecture": "amd64", **arguments}
    return lamina.stream_layered_image(from_image=image, **named)


def write_stream(stream: lamina.Stream) -> tuple[lamina.Image, dict[str, Any], bytes]:
    """Return the image, its config, and the tar of its last layer."""
    out = io.BytesIO()
    image = stream.write_to(out)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:

        def member(name: str) -> bytes:
            file = archive.extractfile(name)
            assert file
            return file.read()

        (entry,) = json.loads(member("manifest.json"))
        return image, json.loads(member(entry["Config"])), member(entry["Layers"][-1])


def names(layer: bytes) -> dict[str, str]:
    """Return the members by name: the target of a link, else the mode."""
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        return {member.name: member.linkname or oct(member.mode) for member in archive}


# Layers


def test_the_layers_of_the_base_come_first_unchanged(store: FakeStore, tmp_path: Path) -> None:
    image, document, _ = write_stream(make_stream(store, write_base(tmp_path)))
    assert document["rootfs"]["diff_ids"][:2] == [sha256(_LOWER), sha256(_UPPER)]
    assert [item["comment"] for item in document["history"][:2]] == [
        "store paths: ['a/layer.tar']",
        "store paths: ['b/layer.tar']",
    ]
    assert len(image.layers) == 2 + 4 + 1


def test_the_layers_of_the_base_count_towards_max_layers(store: FakeStore, tmp_path: Path) -> None:
    """dockertools.md 1.9: a base of two layers and maxLayers=4 give four layers."""
    file = write_base(tmp_path)
    assert len(write_stream(make_stream(store, file, max_layers=4))[0].layers) == 4
    with pytest.raises(PlanError, match=r"got 3, expected at least 4 layers: 2 of the base image, one for"):
        make_stream(store, file, max_layers=3)
    planned = lamina.plan_layered_image(contents=["hello"], store=str(store.root), from_image=file, max_layers=4)
    assert len(planned.layers) == 1


def test_the_progress_lines_name_the_layers_of_the_base(store: FakeStore, tmp_path: Path) -> None:
    flags = ("hello", "--store", store.root, "--architecture", "amd64")
    ran = call("stream", *flags, "--from-image", write_base(tmp_path), "--progress", "nix")
    lines = ran.stderr.splitlines()
    assert lines[:2] == ["Adding base layer 1 from a/layer.tar", "Adding base layer 2 from b/layer.tar"]
    assert lines[2].startswith("Creating layer 3 from paths: ")


LAYOUTS: dict[str, Callable[[], bytes]] = {
    "gzip outside": lambda: gzip.compress(docker_archive({"1.tar": _LOWER, "2.tar": _UPPER})),
    "gzip inside": lambda: docker_archive({"1.tar": gzip.compress(_LOWER), "2.tar": gzip.compress(_UPPER)}),
    "OCI layout": lambda: _oci().tar(),
    "plain": lambda: docker_archive({"1.tar": _LOWER, "2.tar": _UPPER}),
}


def _oci() -> LayoutBuilder:
    layout = LayoutBuilder()
    layout.index(layout.image([_LOWER, _UPPER], compress=gzip.compress, ending="+gzip"))
    return layout


@pytest.mark.parametrize("kind", LAYOUTS)
def test_the_layers_are_the_same_in_every_image_format(store: FakeStore, tmp_path: Path, kind: str) -> None:
    (tmp_path / "base").write_bytes(LAYOUTS[kind]())
    image, *_ = write_stream(make_stream(store, tmp_path / "base"))
    assert [str(layer.diff_id) for layer in image.layers[:2]] == [sha256(_LOWER), sha256(_UPPER)]
    assert [layer.size for layer in image.layers[:2]] == [len(_LOWER), len(_UPPER)]


def test_of_several_platforms_that_of_the_image_is_taken(store: FakeStore, tmp_path: Path) -> None:
    layout = LayoutBuilder()
    layout.index(
        layout.image([_LOWER], config_more={"architecture": "arm64"}, platform=platform("arm64")),
        layout.image([_UPPER], platform=platform("amd64")),
    )
    (tmp_path / "base.tar").write_bytes(layout.tar())
    image, *_ = write_stream(make_stream(store, tmp_path / "base.tar"))
    assert str(image.layers[0].diff_id) == sha256(_UPPER)
    with pytest.raises(PlanError, match="got images for linux/arm64, linux/amd64, expected one for linux/riscv64"):
        make_stream(store, tmp_path / "base.tar", architecture="riscv64")
    image, *_ = write_stream(make_stream(store, tmp_path / "base.tar", architecture="aarch64"))
    assert str(image.layers[0].diff_id) == sha256(_LOWER)


def test_of_several_platforms_that_of_the_first_program_is_taken(store: FakeStore, tmp_path: Path) -> None:
    layout = LayoutBuilder()
    layout.index(
        *(
            layout.image([content], config_more={"architecture": word}, platform=platform(word))
            for word, content in (("riscv64", _LOWER), ("arm64", _UPPER))
        )
    )
    (tmp_path / "base.tar").write_bytes(layout.tar())
    program = Program(b"\x7fELF\2\1\1".ljust(16, b"\0") + b"\2\0" + (183).to_bytes(2, "little") + bytes(100))
    store.add("arm-1", {"bin": {"x": program}})
    image, *_ = write_stream(make_stream(store, tmp_path / "base.tar", contents=["arm"], architecture=None))
    assert str(image.layers[0].diff_id) == sha256(_UPPER)
    for contents in (["words"], []):
        with pytest.raises(PlanError, match=r"got images for linux/riscv64, linux/arm64, expected to be told which"):
            make_stream(store, tmp_path / "base.tar", contents=contents, name="x", architecture=None)


def write_three_images(folder: Path) -> Path:
    """Write an archive of three images, two of one repository; the file's name has a # too."""
    layout = LayoutBuilder()
    names = ("a:1", "a:2", "bare")
    layout.index(
        *(layout.image([tar({name: b"x"})], annotations={"org.opencontainers.image.ref.name": name}) for name in names)
    )
    (folder / "base#3.tar").write_bytes(layout.tar())
    return folder / "base#3.tar"


@pytest.mark.parametrize("name", ["a:2", "library/a:2", "docker.io/library/a:2", "index.docker.io/library/a:2"])
def test_one_of_several_images_is_named(store: FakeStore, tmp_path: Path, name: str) -> None:
    file = write_three_images(tmp_path)
    image, *_ = write_stream(make_stream(store, Path(f"{file}#{name}")))
    assert str(image.layers[0].diff_id) == sha256(tar({"a:2": b"x"}))


def test_a_bare_tag_and_an_id_are_names_too(store: FakeStore, tmp_path: Path) -> None:
    file = write_three_images(tmp_path)
    *_, bare = lamina.inspect(file)
    for name in ("bare", bare.id, bare.digest.hex):
        stream = make_stream(store, Path(f"{file}#{name}"))
        assert str(write_stream(stream)[0].layers[0].diff_id) == sha256(tar({"bare": b"x"}))
        assert not any("took the first" in warning for warning in stream.warnings)
    with pytest.raises(NotFound, match=r"base#3\.tar: got no image a:3, expected one of a:1, a:2, bare") as caught:
        make_stream(store, Path(f"{file}#a:3"))
    assert "base#3.tar#NAME:TAG" in caught.value.hint


def test_the_first_of_several_images_is_taken_with_a_warning(store: FakeStore, tmp_path: Path) -> None:
    stream = make_stream(store, write_three_images(tmp_path))
    assert str(write_stream(stream)[0].layers[0].diff_id) == sha256(tar({"a:1": b"x"}))
    (message,) = (warning for warning in stream.warnings if "took the first" in warning)
    assert "got a:1, a:2, bare" in message


def test_an_image_of_lamina_as_base_keeps_its_layers(store: FakeStore, tmp_path: Path) -> None:
    below = lamina.build_layered_image(
        output=tmp_path / "below.tar.gz", contents=["sh"], store=str(store.root), architecture="amd64", tag="1"
    )
    image, document, _ = write_stream(make_stream(store, tmp_path / "below.tar.gz"))
    assert [layer.diff_id for layer in image.layers[: len(below.layers)]] == [layer.diff_id for layer in below.layers]
    assert document["history"][0]["comment"] == "store paths: ['1.tar']"


@pytest.mark.integration
def test_a_stream_script_contains_the_layers_of_the_base(store: FakeStore, tmp_path: Path) -> None:
    stream = make_stream(store, write_base(tmp_path))
    stream.script(tmp_path / "script")
    out = io.BytesIO()
    stream.write_to(out)
    (tmp_path / "base.tar").unlink()
    done = subprocess.run([tmp_path / "script"], check=True, capture_output=True, env={})
    assert done.stdout == out.getvalue()
    assert done.stderr.startswith(b"Adding base layer 1 from a/layer.tar\n")


# Config


def test_only_env_comes_along_each_variable_once(store: FakeStore, tmp_path: Path) -> None:
    """dockertools.md 1.8: the last value wins but stands where the variable stood first."""
    container = {**_ENV, "Cmd": ["/bin/sh"], "User": "1000", "Labels": {"a": "1"}, "WorkingDir": "/srv"}
    config = {"Env": ["FROM_CHILD=1", "LAST_LAYER=child"], "Cmd": ["/bin/hello"]}
    _, document, _ = write_stream(make_stream(store, write_base(tmp_path, container), config=config))
    assert document["config"] == {
        "Cmd": ["/bin/hello"],
        "Env": ["FROM_PARENT=1", "LAST_LAYER=child", "PATH=/bin", "FROM_CHILD=1"],
    }


@pytest.mark.parametrize("container", [None, {}, {"Env": None}, {"Env": []}])
def test_a_base_without_env_adds_none(store: FakeStore, tmp_path: Path, container: Any) -> None:
    _, document, _ = write_stream(make_stream(store, write_base(tmp_path, container), config={"Cmd": ["x"]}))
    assert document["config"] == {"Cmd": ["x"]}


def test_what_is_asked_for_is_inherited(store: FakeStore, tmp_path: Path) -> None:
    """nixpkgs #277644."""
    container = {
        **_ENV,
        "Cmd": ["/bin/sh"],
        "Entrypoint": ["/init"],
        "User": "1000",
        "Labels": {"a": "base", "b": "base"},
        "WorkingDir": "/srv",
        "StopSignal": "SIGINT",
    }
    flags = ("--store", store.root, "--architecture", "amd64", "--label", "b=own", "--label", "c=own", "--cmd", "mine")
    inherit = ("--inherit", "Cmd,Entrypoint,User", "--inherit", "Labels,WorkingDir,Volumes")
    out = tmp_path / "out.tar"
    ran = run("build", "hello", *flags, *inherit, "--from-image", write_base(tmp_path, container), "-o", out)
    assert ran.code == 0, ran.stderr
    (found,) = lamina.inspect(out)
    assert found.config["config"] == {
        "Cmd": ["mine"],
        "Entrypoint": ["/init"],
        "Env": _ENV["Env"],
        "Labels": {"a": "base", "b": "own", "c": "own"},
        "User": "1000",
        "WorkingDir": "/srv",
    }


def test_a_key_that_no_config_has_is_refused(store: FakeStore, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"inherit: got 'Command', expected some of .*Cmd"):
        make_stream(store, write_base(tmp_path), inherit="Command")


@pytest.mark.parametrize(
    "container", [{"Env": 5}, {"Env": [5]}, {"Env": "A=1"}, {"Cmd": "sh"}, {"Labels": ["x"]}, [], "x"]
)
def test_a_base_with_an_invalid_config_is_a_format_error(store: FakeStore, tmp_path: Path, container: Any) -> None:
    with pytest.raises(FormatError, match="base image: config"):
        make_stream(store, write_base(tmp_path, container), inherit="Cmd,Labels")


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("amd64", {"architecture": "s390x"}),
        ("amd64", {"architecture": "amd64", "os": "windows"}),
        ("arm/v6", {"architecture": "arm", "variant": "v7"}),
        ("amd64", {"architecture": "aarch64"}),
    ],
)
def test_layers_for_another_platform_are_refused(
    store: FakeStore, tmp_path: Path, asked: str, there: dict[str, Any]
) -> None:
    with pytest.raises(PlanError, match=rf"got images for .*, expected one for linux/{asked}") as caught:
        make_stream(store, write_base(tmp_path, **there), architecture=asked)
    assert caught.value.hint == (
        "take a base image for that architecture, or name another architecture with --architecture"
    )


def test_layers_for_another_processor_than_the_programs_are_refused(store: FakeStore, tmp_path: Path) -> None:
    program = Program(b"\x7fELF\2\1\1".ljust(16, b"\0") + b"\2\0" + (183).to_bytes(2, "little") + bytes(100))
    store.add("arm-1", {"bin": {"x": program}})
    with pytest.raises(PlanError, match=r"got layers for linux/amd64, expected layers for linux/arm64"):
        make_stream(store, write_base(tmp_path), contents=["arm"], architecture=None)


@pytest.mark.parametrize("there", [{"architecture": "x86_64"}, {"architecture": "amd64", "os": ""}])
def test_another_name_of_the_same_platform_is_accepted(store: FakeStore, tmp_path: Path, there: dict[str, Any]) -> None:
    assert not any("base image" in warning for warning in make_stream(store, write_base(tmp_path, **there)).warnings)


def test_a_base_that_does_not_say_what_it_is_for_is_a_warning(store: FakeStore, tmp_path: Path) -> None:
    stream = make_stream(store, write_base(tmp_path, architecture=""))
    assert "base image: got no architecture, expected amd64" in stream.warnings


# The root


def test_a_base_whose_bin_is_a_symlink_stays_whole(store: FakeStore, tmp_path: Path) -> None:
    """nixpkgs #129007 and #110696."""
    *_, layer = write_stream(make_stream(store, write_base(tmp_path)))
    found = names(layer)
    assert "./bin" not in found
    assert found["./usr/bin/hello"].endswith("-hello-2.12.1/bin/hello")


def test_scripts_see_the_root_before_it_is_laid_over_the_base_and_their_files_move_with_it(
    store: FakeStore, tmp_path: Path
) -> None:
    script = "[ -L bin/hello ]; ln -s hello bin/hi; mkdir -p tmp/x"
    *_, layer = write_stream(
        make_stream(store, write_base(tmp_path), extra_commands=script, search_path="/usr/bin:/bin")
    )
    found = names(layer)
    assert found["./usr/bin/hi"] == "hello"
    assert found["./tmp"] == "0o755"


# Ready-made contents


def write_accounts_base(folder: Path, members: Mapping[str, bytes | str | None]) -> Path:
    layer = tar({"etc/": None, **members})
    (folder / "base.tar").write_bytes(
        docker_archive(
            {"l.tar": layer}, config={"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": [sha256(layer)]}}
        )
    )
    return folder / "base.tar"


def contents_of(layer: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}  # type: ignore[union-attr]


def test_users_and_groups_are_merged_into_those_of_the_base(store: FakeStore, tmp_path: Path) -> None:
    passwd = b"root:x:0:0:root:/root:/bin/bash\nwww:x:33:33::/var/www:/bin/false"
    group = b"root:x:0:\nnobody:x:99:\n"
    file = write_accounts_base(
        tmp_path, {"etc/passwd": passwd, "etc/group": group, "etc/nsswitch.conf": b"hosts: dns\n"}
    )
    stream = make_stream(store, file, extras="nss")
    found = contents_of(write_stream(stream)[2])
    assert found == {"./etc/passwd": passwd + b"\nnobody:x:65534:65534:nobody:/var/empty:/bin/sh\n"}
    assert [warning for warning in stream.warnings if "base image has it" in warning] == [
        "/etc/passwd: the base image has it, merged nobody of nss into it",
        "/etc/group: the base image has it, with all that nss brings, left as it is",
        "/etc/nsswitch.conf: the base image has it, left out that of nss",
    ]


def test_merged_accounts_keep_their_owner_and_lie_where_a_link_leads(store: FakeStore, tmp_path: Path) -> None:
    link: dict[str, bytes | str | None] = {"etc/group": "../usr/group", "usr/": None, "usr/group": b"wheel:x:1:\n"}
    stream = make_stream(store, write_accounts_base(tmp_path, link), extras="nss")
    layer = write_stream(stream)[2]
    assert contents_of(layer)["./usr/group"] == b"wheel:x:1:\nroot:x:0:\nnobody:x:65534:\n"
    assert "./etc/group" not in names(layer)
    assert contents_of(layer)["./etc/passwd"].startswith(b"root:x:0:0:root user")
    assert any("/etc/group: the base image has it, merged root and nobody of nss" in item for item in stream.warnings)


def test_accounts_of_the_root_come_before_those_of_the_base(store: FakeStore, tmp_path: Path) -> None:
    store.add("own-1", {"etc": {"passwd": b"own:x:0:0::/:/bin/sh\n"}})
    stream = make_stream(
        store, write_accounts_base(tmp_path, {"etc/passwd": b"base:x:1:1::/:/bin/sh\n"}), contents="own", extras="nss"
    )
    assert "./etc/passwd" not in contents_of(write_stream(stream)[2]), "a link to the store path"
    assert any("/etc/passwd: there already, left out that of nss" in warning for warning in stream.warnings)


def test_a_huge_accounts_file_is_refused(store: FakeStore, tmp_path: Path) -> None:
    file = write_accounts_base(tmp_path, {"etc/group": b"x" * (1 << 20) + b"\n"})
    with pytest.raises(FormatError, match=r"^base image: /etc/group: got 1048577 bytes, expected at most 1048576"):
        make_stream(store, file, extras="nss")
    assert make_stream(store, file, extras="tmp")


def test_a_user_is_added_to_those_of_the_base_and_of_nss(store: FakeStore, tmp_path: Path) -> None:
    passwd, shadow = b"root:x:0:0:root:/root:/bin/bash\n", b"root:*:19000:0:99999:7:::\n"
    file = write_accounts_base(tmp_path, {"etc/passwd": passwd, "etc/shadow": shadow})
    app = b"app:x:1000:1000::/home/app:/bin/sh\n"
    for extras, nobody in ((), b""), ("nss", b"nobody:x:65534:65534:nobody:/var/empty:/bin/sh\n"):
        layer = write_stream(make_stream(store, file, extras=extras, add_user="app:1000::/home/app"))[2]
        found = contents_of(layer)
        assert found["./etc/passwd"] == passwd + nobody + app
        assert found["./etc/group"] == b"root:x:0:\nnobody:x:65534:\napp:x:1000:\n"
        assert found["./etc/shadow"] == shadow + b"app:!:::::::\n"
        with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
            home = archive.getmember("./home/app")
        assert (home.mode, home.uid, home.gid) == (0o755, 1000, 1000)


# Bad input


@pytest.mark.parametrize("name", ["../evil", "/../etc/passwd", "a/../../b"])
def test_a_layer_named_outside_the_archive_is_refused(store: FakeStore, tmp_path: Path, name: str) -> None:
    (tmp_path / "base.tar").write_bytes(docker_archive({name: _LOWER}))
    ran = run("stream", "hello", "--store", store.root, "--from-image", tmp_path / "base.tar")
    assert (ran.code, ran.stdout) == (3, b""), ran.stderr


def test_a_base_with_a_wrong_digest_is_refused_before_a_byte_is_written(store: FakeStore, tmp_path: Path) -> None:
    lie = {"os": "linux", "rootfs": {"type": "layers", "diff_ids": [sha256(b"else")]}}
    (tmp_path / "base.tar").write_bytes(docker_archive({"1.tar": _LOWER}, config=lie))
    ran = run("stream", "hello", "--store", store.root, "--from-image", tmp_path / "base.tar")
    assert (ran.code, ran.stdout) == (6, b""), ran.stderr
    with pytest.raises(IntegrityError):
        make_stream(store, tmp_path / "base.tar")


def test_a_base_that_is_cut_off_or_missing_is_refused(store: FakeStore, tmp_path: Path) -> None:
    whole = write_base(tmp_path).read_bytes()
    for content, code in ((whole[:3000], 3), (b"", 3), (b"x" * 600, 3)):
        (tmp_path / "base.tar").write_bytes(content)
        assert run("stream", "hello", "--store", store.root, "--from-image", tmp_path / "base.tar").code == code
    assert run("stream", "hello", "--store", store.root, "--from-image", tmp_path / "none").code == 11


def test_a_base_that_changes_while_it_is_read_is_an_integrity_error(store: FakeStore, tmp_path: Path) -> None:
    file = write_base(tmp_path)
    stream = make_stream(store, file)
    file.write_bytes(file.read_bytes().replace(b"ID=base", b"ID=evil"))
    with pytest.raises(IntegrityError):
        stream.write_to(io.BytesIO())


def test_a_bomb_is_refused(store: FakeStore, tmp_path: Path) -> None:
    file = tmp_path / "base.tar.gz"
    file.write_bytes(gzip.compress(write_base(tmp_path).read_bytes() + bytes(20 << 20), 9))
    with pytest.raises(
        FormatError, match=r"got more than 1\.0 MiB when decompressed, expected a smaller image"
    ) as caught:
        make_stream(store, file, max_unpacked_size="1M")
    assert "--max-unpacked-size" in caught.value.hint
    assert make_stream(store, file, max_unpacked_size="32MiB")
    for flags, code in ((("--max-unpacked-size", "1M"), 3), (("--max-unpacked-size", "1G"), 0), ((), 0)):
        arguments = ("hello", "--store", store.root, "--architecture", "amd64", "--from-image", file)
        assert run("stream", *arguments, *flags).code == code


def test_layers_lie_in_the_archive_and_are_copied_nowhere(store: FakeStore, tmp_path: Path) -> None:
    file = write_base(tmp_path)
    layers = make_stream(store, file).draft.base
    assert all(isinstance(layer, FinishedLayer) and Path(layer.tar.file.decode()) == file for layer in layers)


def test_an_impossible_root_is_reported_for_the_base_image(store: FakeStore, tmp_path: Path) -> None:
    (tmp_path / "base.tar").write_bytes(docker_archive({"1.tar": tar({"loop": "loop", "loop/x": b"x"})}))
    with pytest.raises(FormatError, match=r"base image: layer 1: .*got more than 40 links"):
        make_stream(store, tmp_path / "base.tar")
