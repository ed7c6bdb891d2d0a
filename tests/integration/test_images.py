"""lamina reads the images of real tools, and its merged and exported images match those of the tools."""

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
from tests.integration.images import write_image

import lamina

# Two layers with whiteouts, an opaque folder, both kinds of link, modes and owners.
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
# The paths that an engine itself adds to the root of a container.
_ENGINE_PATHS = {
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
def _load(engine: Engine, small: Sample, folder: Path) -> Iterator[str]:
    """Load an image with a shell for the block; yield its name."""
    archive, _ = write_image(folder, small, contents=[_busybox(small)], config={"Env": ["PATH=/bin"]})
    engine.load(archive)
    try:
        yield _name(engine)
    finally:
        engine.remove(_name(engine))


@contextmanager
def _add_layers(engine: Engine, image: str) -> Iterator[str]:
    """Let the engine add two layers to an image for the block; yield the name of the result."""
    names = [image]
    try:
        for number, script in enumerate((_CHANGES, _MORE_CHANGES)):
            command = ("--pull", "never", "--network", "none", names[-1], "/bin/sh", "-c", script)
            container = engine.call("create", *command).stdout.strip()
            engine.call("start", "--attach", container)
            changed = _name(engine, f"test/changed:{number}")
            engine.call("commit", container, changed)
            names.append(changed)
            engine.call("rm", container)
        yield names[-1]
    finally:
        for name in reversed(names[1:]):
            engine.remove(name)


def _save(engine: Engine, image: str, archive: Path, *options: str) -> Path:
    engine.call("save", *options, "--output", archive, image)
    return archive


def _formats(engine: Engine) -> dict[str, tuple[str, ...]]:
    if engine.kind == "docker":
        return {"saved.tar": ()}
    return {name: ("--format", name) for name in ("docker-archive", "oci-archive")}


def test_an_image_that_an_engine_saved_is_read(engine: Engine, small: Sample, tmp_path: Path) -> None:
    with _load(engine, small, tmp_path) as base, _add_layers(engine, base) as name:
        inspected = engine.inspect(name)
        for form, options in _formats(engine).items():
            (found,) = lamina.inspect(_save(engine, name, tmp_path / form, *options))
            assert [str(layer.diff_id) for layer in found.layers] == inspected["RootFS"]["Layers"]
            assert found.repo_tags == (name,)
            # podman rewrites the config for a docker-archive; in containerd's store the ID is the manifest's digest.
            if form != "docker-archive" and engine.driver != "overlayfs":
                assert found.digest.hex == inspected["Id"].removeprefix("sha256:")


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_an_image_that_skopeo_copied_is_read(skopeo: Skopeo, small: Sample, tmp_path: Path, compression: str) -> None:
    archive, image = write_image(tmp_path, small)
    copies = {
        "oci": tmp_path / "layout",
        "oci-archive": tmp_path / "oci.tar",
        "docker-archive": tmp_path / "docker.tar",
    }
    for kind, location in copies.items():
        compressed = ("--dest-compress", "--dest-compress-format", compression) if kind != "docker-archive" else ()
        skopeo.copy(f"docker-archive:{archive}", f"{kind}:{location}:test/image:1", *compressed)
        (found,) = lamina.inspect(location)
        assert [layer.diff_id for layer in found.layers] == [layer.diff_id for layer in image.layers]
        assert [layer.paths for layer in found.layers] == [layer.paths for layer in image.layers]
        assert found.repo_tags in (("test/image:1",), ("docker.io/test/image:1",))
        assert (found.layers[0].digest == found.layers[0].diff_id) == (kind == "docker-archive")
    shutil.make_archive(str(tmp_path / "layout"), "tar", copies["oci"])
    (in_tar,) = lamina.inspect(tmp_path / "layout.tar")
    (in_folder,) = lamina.inspect(copies["oci"])
    assert in_tar.id == in_folder.id
    config = skopeo.inspect(f"oci:{copies['oci']}:test/image:1", "--config")
    assert json.loads(in_folder.config_json) == config


def _entries(file: Path) -> dict[str, tuple[object, ...]]:
    """Return kind, mode, owner, target or content, and the names of the hard links of each path, by name."""
    entries: dict[str, tuple[object, ...]] = {}
    links: dict[str, set[str]] = {}
    with tarfile.open(file) as archive:
        for member in archive:
            name = member.name.removeprefix("./").rstrip("/")
            if name in _ENGINE_PATHS or name.startswith("dev/") or name in ("", "."):
                continue
            if member.islnk():
                target = member.linkname.removeprefix("./")
                links[target].add(name)
                entries[name] = entries[target]
                links[name] = links[target]
                continue
            content = archive.extractfile(member) if member.isreg() else None
            detail = hashlib.sha256(content.read()).hexdigest() if content else member.linkname
            entries[name] = (member.type, member.mode & 0o7777, member.uid, member.gid, detail)
            links[name] = {name}
    return {name: (*entry, *sorted(links[name])) for name, entry in entries.items()}


def test_an_exported_root_equals_the_export_of_the_engine(engine: Engine, small: Sample, tmp_path: Path) -> None:
    with _load(engine, small, tmp_path) as base, _add_layers(engine, base) as name:
        saved = _save(engine, name, tmp_path / "saved.tar")
        container = engine.call("create", "--pull", "never", "--network", "none", name, "/bin/sh").stdout.strip()
        engine.call("export", "--output", tmp_path / "theirs.tar", container)
        engine.call("rm", container)
    lamina.export_image(saved, output=tmp_path / "ours.tar")
    ours, theirs = _entries(tmp_path / "ours.tar"), _entries(tmp_path / "theirs.tar")
    assert ours == theirs
    assert {"data/again/new", "usr/bin/later", "c", "six/seven", "pipe", "eight"} <= set(ours)
    assert not {"data/gone", "data/again/three", "four", "b", "empty"} & set(ours)


def test_merged_images_load_and_run(engine: Engine, small: Sample, tmp_path: Path) -> None:
    first, one = write_image(tmp_path, small, file="one.tar.gz", name="test/one", config={"Cmd": ["/bin/hello", "one"]})
    second, two = write_image(
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
        inspected = engine.inspect(name)
        assert inspected["RootFS"]["Layers"] == [str(layer.diff_id) for layer in image.layers]
        if engine.driver != "overlayfs":  # the ID in containerd's store is the digest of the manifest
            assert inspected["Id"].removeprefix("sha256:") == image.digest.hex
        engine.remove(name)


def test_a_merged_archive_of_saved_images_loads(engine: Engine, small: Sample, tmp_path: Path) -> None:
    with _load(engine, small, tmp_path) as base, _add_layers(engine, base) as name:
        saved = [_save(engine, image, tmp_path / f"{number}.tar") for number, image in enumerate((base, name))]
        layers = engine.inspect(name)["RootFS"]["Layers"]
    lamina.merge_images(saved, output=tmp_path / "both.tar")
    engine.load(tmp_path / "both.tar")
    try:
        assert engine.inspect(name)["RootFS"]["Layers"] == layers
        assert engine.run(name, "/bin/cat", "/data/again/new").stdout == "new\n"
    finally:
        engine.remove(name)
        engine.remove(base)
