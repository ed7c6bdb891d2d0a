"""Images that real tools wrote are read as what they are, and what we make of them is taken and is what they make."""

import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.integration.closures import Sample
from tests.integration.engines import Engine, Skopeo
from tests.integration.images import image_file

import lamina

# A layer with all that can go wrong in one: whiteouts, an opaque folder, links of both kinds, modes and owners.
_CHANGES = """
set -e
mkdir -p /data/keep /data/gone /data/again /usr/bin /empty/folder
echo one > /data/keep/one; echo two > /data/gone/two; echo three > /data/again/three; echo four > /four
ln -s usr/bin /b; echo tool > /b/tool; chmod 4755 /usr/bin/tool; chown 7:8 /data/keep; chmod 1777 /data
mkfifo -m 600 /pipe; ln /four /five; ln -s five /six
"""
_MORE_CHANGES = """
set -e
rm -r /data/gone /data/again; mkdir -m 700 /data/again; echo new > /data/again/new
rm /six; mkdir /six; echo seven > /six/seven; ln /five /eight; rm /four; chmod 600 /data/keep/one
mv /b /c; echo later > /c/later; rm /empty -r
"""
# What an engine puts into a container's root itself.
_ENGINES_OWN = {
    ".dockerenv",
    "dev",
    "etc",
    "etc/hosts",
    "etc/hostname",
    "etc/mtab",
    "etc/resolv.conf",
    "proc",
    "run",
    "run/.containerenv",
    "run/secrets",
    "sys",
}


def _name(engine: Engine, name: str = "test/image:1") -> str:
    return f"localhost/{name}" if engine.kind == "podman" else name


def _busybox(small: Sample) -> str:
    return next(path for path in small.paths if path.endswith("busybox-static"))


@contextmanager
def _loaded(engine: Engine, small: Sample, folder: Path) -> Iterator[str]:
    """An image with a shell, in the engine for the block."""
    archive, _ = image_file(folder, small, contents=[_busybox(small)], config={"Env": ["PATH=/bin"]})
    engine.load(archive)
    try:
        yield _name(engine)
    finally:
        engine.remove(_name(engine))


@contextmanager
def _changed(engine: Engine, image: str) -> Iterator[str]:
    """The same with two layers that the engine itself made, for the block."""
    made = [image]
    try:
        for number, script in enumerate((_CHANGES, _MORE_CHANGES)):
            command = ("--pull", "never", "--network", "none", made[-1], "/bin/sh", "-c", script)
            container = engine.call("create", *command).stdout.strip()
            engine.call("start", "--attach", container)
            changed = _name(engine, f"test/changed:{number}")
            engine.call("commit", container, changed)
            made.append(changed)
            engine.call("rm", container)
        yield made[-1]
    finally:
        for name in reversed(made[1:]):
            engine.remove(name)


def _saved(engine: Engine, image: str, place: Path, *options: str) -> Path:
    engine.call("save", *options, "--output", place, image)
    return place


def _formats(engine: Engine) -> dict[str, tuple[str, ...]]:
    if engine.kind == "docker":
        return {"saved.tar": ()}
    return {name: ("--format", name) for name in ("docker-archive", "oci-archive")}


def test_what_an_engine_saves_is_opened_and_checked(engine: Engine, small: Sample, tmp_path: Path) -> None:
    with _loaded(engine, small, tmp_path) as base, _changed(engine, base) as name:
        said = engine.inspect(name)
        for form, options in _formats(engine).items():
            (found,) = lamina.inspect(_saved(engine, name, tmp_path / form, *options))
            assert [str(layer.diff_id) for layer in found.layers] == said["RootFS"]["Layers"]
            assert found.repo_tags == (name,)
            # podman writes the config anew for a docker-archive; containerd's store calls the manifest's digest the ID.
            if form != "docker-archive" and engine.driver != "overlayfs":
                assert found.digest.hex == said["Id"].removeprefix("sha256:")


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_what_skopeo_copies_is_opened_and_checked(
    skopeo: Skopeo, small: Sample, tmp_path: Path, compression: str
) -> None:
    archive, image = image_file(tmp_path, small)
    places = {
        "oci": tmp_path / "layout",
        "oci-archive": tmp_path / "oci.tar",
        "docker-archive": tmp_path / "docker.tar",
    }
    for kind, place in places.items():
        compressed = ("--dest-compress", "--dest-compress-format", compression) if kind != "docker-archive" else ()
        skopeo.copy(f"docker-archive:{archive}", f"{kind}:{place}:test/image:1", *compressed)
        (found,) = lamina.inspect(place)
        assert [layer.diff_id for layer in found.layers] == [layer.diff_id for layer in image.layers]
        assert [layer.paths for layer in found.layers] == [layer.paths for layer in image.layers]
        assert found.repo_tags in (("test/image:1",), ("docker.io/test/image:1",))
        assert (found.layers[0].digest == found.layers[0].diff_id) == (kind == "docker-archive")
    shutil.make_archive(str(tmp_path / "layout"), "tar", places["oci"])
    (in_tar,) = lamina.inspect(tmp_path / "layout.tar")
    (in_folder,) = lamina.inspect(places["oci"])
    assert in_tar.id == in_folder.id
    config = skopeo.inspect(f"oci:{places['oci']}:test/image:1", "--config")
    assert json.loads(in_folder.config_json) == config


def _entries(file: Path) -> dict[str, tuple[object, ...]]:
    """By name: kind, mode, owner, target or content, and the names of its hard links."""
    found: dict[str, tuple[object, ...]] = {}
    links: dict[str, set[str]] = {}
    with tarfile.open(file) as archive:
        for member in archive:
            name = member.name.removeprefix("./").rstrip("/")
            if name in _ENGINES_OWN or name.startswith("dev/") or name in ("", "."):
                continue
            if member.islnk():
                target = member.linkname.removeprefix("./")
                links[target].add(name)
                found[name] = found[target]
                links[name] = links[target]
                continue
            content = archive.extractfile(member) if member.isreg() else None
            what = hashlib.sha256(content.read()).hexdigest() if content else member.linkname
            found[name] = (member.type, member.mode & 0o7777, member.uid, member.gid, what)
            links[name] = {name}
    return {name: (*entry, *sorted(links[name])) for name, entry in found.items()}


def test_an_exported_root_is_what_the_engine_exports(engine: Engine, small: Sample, tmp_path: Path) -> None:
    with _loaded(engine, small, tmp_path) as base, _changed(engine, base) as name:
        saved = _saved(engine, name, tmp_path / "saved.tar")
        container = engine.call("create", "--pull", "never", "--network", "none", name, "/bin/sh").stdout.strip()
        engine.call("export", "--output", tmp_path / "theirs.tar", container)
        engine.call("rm", container)
    lamina.export_image(saved, output=tmp_path / "ours.tar")
    ours, theirs = _entries(tmp_path / "ours.tar"), _entries(tmp_path / "theirs.tar")
    assert ours == theirs
    assert {"data/again/new", "usr/bin/later", "c", "six/seven", "pipe", "eight"} <= set(ours)
    assert not {"data/gone", "data/again/three", "four", "b", "empty"} & set(ours)


def test_merged_images_load_and_run(engine: Engine, small: Sample, tmp_path: Path) -> None:
    first, one = image_file(tmp_path, small, file="one.tar.gz", name="test/one", config={"Cmd": ["/bin/hello", "one"]})
    second, two = image_file(
        tmp_path,
        small,
        file="two.tar",
        name="test/two",
        contents=[_busybox(small)],
        config={"Cmd": ["/bin/printf", "two"]},
    )
    lamina.merge_images([first, second], output=tmp_path / "both.tar")
    engine.load(tmp_path / "both.tar")
    names = [_name(engine, "test/one:1"), _name(engine, "test/two:1")]
    assert "args: one" in engine.run(names[0]).stdout
    assert engine.run(names[1]).stdout == "two"
    for name, image in zip(names, (one, two), strict=True):
        said = engine.inspect(name)
        assert said["RootFS"]["Layers"] == [str(layer.diff_id) for layer in image.layers]
        if engine.driver != "overlayfs":  # containerd's store calls the manifest's digest the ID
            assert said["Id"].removeprefix("sha256:") == image.digest.hex
        engine.remove(name)


def test_a_merged_archive_of_what_an_engine_saved_loads_again(engine: Engine, small: Sample, tmp_path: Path) -> None:
    with _loaded(engine, small, tmp_path) as base, _changed(engine, base) as name:
        saved = [_saved(engine, image, tmp_path / f"{number}.tar") for number, image in enumerate((base, name))]
        layers = engine.inspect(name)["RootFS"]["Layers"]
    lamina.merge_images(saved, output=tmp_path / "both.tar")
    engine.load(tmp_path / "both.tar")
    try:
        assert engine.inspect(name)["RootFS"]["Layers"] == layers
        assert engine.run(name, "/bin/cat", "/data/again/new").stdout == "new\n"
    finally:
        engine.remove(name)
        engine.remove(base)
