"""The 32 behaviours that the tests of layered images in nixpkgs assert, by their number in docs/dockertools.md.

Behaviours that involve an engine are tested with real engines. Upstream runs its tests in a virtual machine; here the
fixtures start the engines on the machine itself.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.integration import tools
from tests.integration.closures import EXPRESSIONS, Nix, Sample
from tests.integration.engines import Engine
from tests.integration.images import machine_store
from tests.integration.tools import ToolError, fetch, loopback_port

import lamina
from lamina.core.names import ImageReference

PATH = tools.environment()["PATH"]
Load = Callable[..., "Loaded"]


class Loaded:
    """An image that an engine has loaded, with its name in the engine."""

    def __init__(self, engine: Engine, image: lamina.Image, file: Path, output: str) -> None:
        self.engine = engine
        self.image = image
        self.file = file
        self.output = output
        self.name = name_in(engine, image.repo_tag)

    def run(self, *arguments: str, options: tuple[str, ...] = (), check: bool = True) -> str:
        done = self.engine.run(self.name, *arguments, options=options, check=check)
        return done.stdout

    def is_failing(self, *arguments: str, options: tuple[str, ...] = ()) -> bool:
        return self.engine.run(self.name, *arguments, options=options, check=False).returncode != 0

    def document(self) -> Mapping[str, Any]:
        return self.engine.inspect(self.name)


def name_in(engine: Engine, repo_tag: str) -> str:
    """Return the name of an image in ``engine``; podman adds `localhost/` to a name without a registry."""
    first = repo_tag.partition("/")[0]
    return f"localhost/{repo_tag}" if engine.kind == "podman" and "." not in first and ":" not in first else repo_tag


@pytest.fixture
def load(engine: Engine, small: Sample, tmp_path: Path) -> Iterator[Load]:
    """A function that builds an image, of the small closure by default, and loads it until the end of the test."""
    with ExitStack() as stack:

        def make(ending: str = ".tar", **arguments: Any) -> Loaded:
            file = tmp_path / f"{uuid.uuid4().hex}{ending}"
            defaults = {
                "name": f"test/{file.name[:8]}",
                "contents": [small.root],
                "store": machine_store(),
                "search_path": PATH,
            }
            image = lamina.build_layered_image(output=file, **{**defaults, **arguments})
            loaded = Loaded(engine, image, file, engine.load(file))
            stack.callback(engine.call, "image", "rm", "--force", loaded.name, check=False)
            return loaded

        yield make


@pytest.fixture
def busybox(small: Sample) -> str:
    return next(path for path in small.paths if path.endswith("-busybox-static"))


@pytest.fixture
def hello(small: Sample) -> str:
    """The path of the program, which has its own store path."""
    return next(path for path in small.paths if path.endswith("-app-1.0")) + "/bin/hello"


def export_names(engine: Engine, name: str, folder: Path) -> list[str]:
    """Return the names in the root of a container, from ``docker export``."""
    container = engine.call("create", "--pull", "never", "--network", "none", name, "/none").stdout.split()[-1]
    try:
        engine.call("export", "--output", folder / "root.tar", container)
    finally:
        engine.call("rm", container)
    with tarfile.open(folder / "root.tar") as archive:
        return archive.getnames()


def layers(loaded: Loaded) -> list[str]:
    return list(loaded.document()["RootFS"]["Layers"])


@contextmanager
def mount_store(engine: Engine, with_store: Loaded) -> Iterator[str]:
    """Yield what to mount: the store of this machine, or a volume with its paths if the daemon cannot see it."""
    if engine.name in ("docker", "podman"):
        yield "/nix/store"
        return
    volume = f"store-{uuid.uuid4().hex}"
    engine.run(with_store.name, "/bin/hello", options=("--volume", f"{volume}:/nix/store"))
    try:
        yield volume
    finally:
        engine.call("volume", "rm", volume)


# 1 to 4: the store in the image, or mounted


def test_01_an_image_with_its_store_paths_runs(load: Load) -> None:
    assert "good morning" in load(config={"Cmd": ["/bin/hello"]}).run()


@pytest.mark.parametrize("chroot", [False, True])
def test_02_without_store_paths_it_loads_and_does_not_run(load: Load, chroot: bool) -> None:
    fake = {"enable_fakechroot": True, "fake_root_commands": "mkdir /made"} if chroot else {}
    assert load(config={"Cmd": ["/bin/hello"]}, include_store_paths=False, **fake).is_failing()


@pytest.mark.parametrize("chroot", [False, True])
def test_03_without_store_paths_the_image_has_none(load: Load, engine: Engine, tmp_path: Path, chroot: bool) -> None:
    fake = {"enable_fakechroot": True, "fake_root_commands": "mkdir /made"} if chroot else {}
    loaded = load(include_store_paths=False, **fake)
    assert not [
        name for name in export_names(engine, loaded.name, tmp_path) if name.lstrip("./").startswith("nix/store/")
    ]


@pytest.mark.parametrize("chroot", [False, True])
def test_04_without_store_paths_it_runs_with_the_store_mounted(load: Load, chroot: bool) -> None:
    fake = {"enable_fakechroot": True, "fake_root_commands": "mkdir /made"} if chroot else {}
    loaded = load(config={"Cmd": ["/bin/hello"]}, include_store_paths=False, **fake)
    with mount_store(loaded.engine, load()) as store:
        assert "good morning" in loaded.run(options=("--volume", f"{store}:/nix/store:ro"))


# 5 to 9: names, compression, permissions, links, servers


def test_05_the_engine_loads_the_reported_tag(load: Load, engine: Engine) -> None:
    loaded = load(tag=None)
    tag = ImageReference.parse(loaded.image.repo_tag).tag
    assert tag == loaded.image.digest.hex[:32]
    assert loaded.name in [name_in(engine, name.removeprefix("localhost/")) for name in engine.images()]
    assert loaded.name.endswith(f":{tag}")


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tar.zst"])
def test_06_every_compression_that_the_engine_supports_loads(load: Load, engine: Engine, ending: str) -> None:
    is_old = engine.version < ((4, 4) if engine.kind == "podman" else (23,))
    if is_old and (engine.kind, ending) in (("podman", ".tar.gz"), ("docker", ".tar.zst")):
        with pytest.raises(ToolError, match=r"invalid tar header|does not match any of the supported"):
            load(ending)
    else:
        assert "good morning" in load(ending, config={"Cmd": ["/bin/hello"]}).run()


def test_07_every_user_can_enter_the_store(load: Load, busybox: str) -> None:
    users = "printf 'root:x:0:0::/root:\\nsomebody:x:1000:1000::/:\\n' > etc/passwd"
    loaded = load(contents=[busybox], extra_commands=f"mkdir -p etc; {users}", config={"User": "somebody"})
    assert loaded.run("/bin/stat", "-c", "%a", "/nix", "/nix/store").split() == ["755", "755"]
    assert loaded.run("/bin/id", "-u").strip() == "1000"


def test_08_links_in_the_store_keep_their_targets(load: Load, busybox: str) -> None:
    assert load(contents=[busybox]).run("/bin/readlink", f"{busybox}/bin/sh").strip() == "busybox"


def test_09_a_server_uses_the_folders_that_extra_commands_made(load: Load, engine: Engine, busybox: str) -> None:
    script = "mkdir -p tmp/nginx_client_body var/log/nginx srv; echo made by a script > srv/index.html"
    port = loopback_port()
    command = ["/bin/httpd", "-f", "-p", f"127.0.0.1:{port}", "-h", "/srv"]
    loaded = load(contents=[busybox], extra_commands=script, config={"Cmd": command})
    with engine.serving(loaded.name):
        assert fetch(port, "/index.html") == b"made by a script\n"


# 10 to 19: dates, base images, layers


def test_10_now_is_not_1970(load: Load) -> None:
    assert not load(created="now").document()["Created"].startswith("1970")
    assert load().document()["Created"].startswith("1970-01-01T00:00:01")


def test_11_extra_commands_run_verbatim(load: Load, busybox: str) -> None:
    script = "echo '(( $HOME \"quoted\" `not run` ))' > extraCommands"
    loaded = load(contents=[busybox], extra_commands=script, config={"Cmd": [f"{busybox}/bin/cat", "/extraCommands"]})
    assert loaded.run() == '(( $HOME "quoted" `not run` ))\n'


def test_12_an_image_on_top_of_a_layered_image_runs(load: Load, engine: Engine, tmp_path: Path) -> None:
    """Upstream builds the image on top with buildImage, which lamina lacks; here the engine commits a container."""
    loaded = load(config={"Cmd": ["/bin/hello"]})
    container = engine.call("create", "--pull", "never", "--network", "none", loaded.name).stdout.split()[-1]
    name = f"{loaded.name.rpartition(':')[0]}:on-top"
    try:
        engine.call("commit", container, name)
        assert "good morning" in engine.run(name).stdout
        engine.call("save", "--output", tmp_path / "on-top.tar", name)
    finally:
        engine.call("rm", container)
        engine.call("image", "rm", "--force", name)
    assert "good morning" in load(from_image=tmp_path / "on-top.tar", config={"Cmd": ["/bin/hello"]}).run()


def test_13_a_layered_image_on_a_layered_image_runs(load: Load, busybox: str, hello: str) -> None:
    below = load(contents=[busybox], extra_commands="mkdir example-output; chmod 777 example-output")
    config = {"Cmd": ["/bin/sh", "-c", f"{hello} > here; /bin/cat here"], "WorkingDir": "/example-output"}
    assert "good morning" in load(from_image=below.file, config=config).run()


def test_14_images_share_layers(load: Load, busybox: str) -> None:
    one, two = load(), load(contents=[busybox])
    assert set(layers(one)) & set(layers(two))


def test_15_and_16_env_is_inherited_and_resolved(load: Load, busybox: str) -> None:
    below = load(contents=[busybox], config={"Env": ["PATH=/bin", "FROM_PARENT=true", "LAST_LAYER=parent"]})
    config = {"Env": ["FROM_CHILD=true", "LAST_LAYER=child"], "Cmd": ["/bin/env"]}
    above = load(from_image=below.file, config=config)
    variables = above.run().splitlines()
    assert {"FROM_PARENT=true", "FROM_CHILD=true", "LAST_LAYER=child"} <= set(variables)
    (stored,) = lamina.inspect(above.file)
    assert [item for item in stored.config["config"]["Env"] if item.startswith("LAST_LAYER=")] == ["LAST_LAYER=child"]


def test_17_an_image_of_two_layers_loads(load: Load) -> None:
    loaded = load(max_layers=2, config={"Cmd": ["/bin/hello"]})
    assert len(layers(loaded)) == 2
    assert "good morning" in loaded.run()


def test_18_a_layer_of_many_paths_has_them_all(load: Load, busybox: str, small: Sample) -> None:
    """nixpkgs #78744."""
    loaded = load(contents=[busybox, small.root], max_layers=2)
    assert "good morning" in loaded.run("/bin/hello")
    assert loaded.run("/bin/ls", "/nix/store").split() == sorted(path.rpartition("/")[2] for path in small.paths)


def test_19_max_layers_counts_the_layers_of_the_base_image(load: Load, busybox: str) -> None:
    below = load(contents=[busybox], max_layers=2)
    above = load(from_image=below.file, max_layers=4, config={"Cmd": ["/bin/hello"]})
    assert len(layers(above)) == 4
    assert "good morning" in above.run()


# 20 to 23: which paths are added


def test_20_only_referenced_paths_are_added(load: Load, busybox: str, hello: str) -> None:
    script = (
        f"{busybox}/bin/cat {hello} > /dev/null; mkdir bin; cp {busybox}/bin/busybox bin/; echo {busybox} > bin/from"
    )
    loaded = load(contents=[], extra_commands=script)
    assert loaded.run("/bin/busybox", "ls", "/nix/store").split() == [busybox.rpartition("/")[2]]
    assert loaded.is_failing("/bin/busybox", "test", "-e", hello)


def test_21_the_contents_of_store_paths_are_unchanged(load: Load, small: Sample, nix: Nix, tmp_path: Path) -> None:
    """Upstream runs Nix inside (see test_nix_inside.py); here the paths of an exported container are hashed."""
    loaded = load()
    export_names(loaded.engine, loaded.name, tmp_path)
    (tmp_path / "root").mkdir()
    subprocess.run(["tar", "-C", tmp_path / "root", "-xf", tmp_path / "root.tar", "nix/store"], check=True)
    for path in small.paths:
        assert nix.hash(tmp_path / "root" / path.lstrip("/")) == nix.hash(path)
    subprocess.run(["chmod", "-R", "u+w", tmp_path / "root"], check=True)
    shutil.rmtree(tmp_path / "root")


def test_22_a_store_path_that_is_a_symlink_stays_one(load: Load, small: Sample, busybox: str, nix: Nix) -> None:
    """nixpkgs #107021."""
    link = nix.build(EXPRESSIONS / "small.nix", "link")
    loaded = load(contents=[busybox], closure=[link])
    assert loaded.run("/bin/readlink", link).strip().startswith("/nix/store/")


def test_23_the_name_keeps_its_registry(load: Load) -> None:
    loaded = load(name="registry-1.docker.io/layered-image", tag="1")
    assert loaded.name == "registry-1.docker.io/layered-image:1"
    assert [name for name in loaded.document()["RepoTags"] if name.endswith("layered-image:1")]


# 24 to 27: fakeroot


def _alice(loaded: Loaded) -> str:
    return loaded.run("/bin/stat", "-c", "%u %g %a", "/home/alice").strip()


def test_24_chown_under_fakeroot_reaches_the_container(load: Load, busybox: str) -> None:
    script = "mkdir -p home/alice; chown 1000 home/alice"
    assert _alice(load(contents=[busybox], fake_root_commands=script)) == "1000 0 755"


def test_25_merging_keeps_owners(load: Load, busybox: str, engine: Engine, tmp_path: Path) -> None:
    one = load(contents=[busybox], fake_root_commands="mkdir -p home/alice; chown 1000 home/alice", tag="one")
    two = load(contents=[busybox], tag="two")
    for loaded in (one, two):
        engine.remove(loaded.name)
    lamina.merge_images([one.file, two.file], output=tmp_path / "merged.tar")
    engine.load(tmp_path / "merged.tar")
    assert _alice(one) == "1000 0 755"
    assert two.run("/bin/echo", "here").strip() == "here"


def test_26_the_image_has_the_paths_that_fakeroot_commands_refer_to(load: Load, hello: str) -> None:
    loaded = load(contents=[], fake_root_commands=f"ln -s {hello} hello", config={"Cmd": ["/hello"]})
    assert "good morning" in loaded.run()


def test_27_fakeroot_commands_can_run_with_the_image_as_their_root(load: Load, hello: str) -> None:
    script = f"mkdir /bin; ln -s {hello} /bin/hello"
    loaded = load(contents=[], fake_root_commands=script, enable_fakechroot=True, config={"Cmd": ["/bin/hello"]})
    assert "good morning" in loaded.run()


# 28 to 32: folders, architectures, etc, owners


def test_28_contents_can_be_a_folder(load: Load, busybox: str, nix: Nix) -> None:
    """Upstream passes a bare path, which Nix copies to the store; nix/ does too, see test_nix_expressions.py."""
    folder = nix.build(EXPRESSIONS / "small.nix", "folder")
    loaded = load(contents=[busybox, folder])
    assert loaded.run("/bin/cat", "/hello.txt") == "hello from a folder\n"


def test_29_the_architecture_can_be_set(load: Load) -> None:
    assert load(architecture="arm64").document()["Architecture"] == "arm64"


def test_30_an_activation_script_makes_etc(load: Load, busybox: str) -> None:
    """Upstream runs the etc activation of NixOS; this script makes the same links into one static folder."""
    script = """
    mkdir -p /etc/static
    echo 'some-config' > /etc/static/some-config-file
    ln -s /etc/static/some-config-file /etc/some-config-file
    [ "$(cat /etc/some-config-file)" = some-config ]
    """
    config = {"Cmd": [f"{busybox}/bin/cat", "/etc/some-config-file"]}
    loaded = load(contents=[busybox], fake_root_commands=script, enable_fakechroot=True, config=config)
    assert loaded.run() == "some-config\n"


def test_31_chown_under_proot_reaches_the_container(load: Load, busybox: str) -> None:
    script = "touch /testfile; chown 12345:12345 /testfile"
    loaded = load(contents=[busybox], fake_root_commands=script, enable_fakechroot=True)
    assert loaded.run("/bin/stat", "-c", "%u:%g", "/testfile").strip() == "12345:12345"


def test_32_a_store_of_another_owner_loads_and_runs(load: Load, busybox: str) -> None:
    loaded = load(contents=[busybox], uid=1000, gid=1000, uname="user", gname="user", config={"User": "1000"})
    assert loaded.run("/bin/stat", "-c", "%u:%g", f"{busybox}/bin/busybox").strip() == "1000:1000"


# A file capability, which upstream loses (nixpkgs #463986)


def test_a_file_capability_reaches_the_container(load: Load, busybox: str) -> None:
    tools.require("setcap")
    # busybox chooses its command by its name, and accepts this one. Every engine leaves this capability to a container;
    # podman 5 takes away cap_net_raw, and then the kernel refuses to start the program.
    script = f"cp {busybox}/bin/busybox busybox-bind; setcap cap_net_bind_service+ep busybox-bind"
    note = lamina.Xattr("/busybox-bind", "user.note", b"\x00\xff")
    loaded = load(contents=[busybox], fake_root_commands=script, tree=[note])
    with tarfile.open(loaded.file) as archive:
        last = archive.extractfile(f"{len(loaded.image.layers)}.tar")
        assert last
        with tarfile.open(fileobj=io.BytesIO(last.read())) as layer:
            headers = layer.getmember("./busybox-bind").pax_headers
    assert set(headers) == {"SCHILY.xattr.security.capability", "SCHILY.xattr.user.note"}
    status = ("cat", "/proc/self/status")
    assert "CapPrm:\t0000000000000400" in loaded.run("/busybox-bind", *status, options=("--user", "1000"))
    assert "CapPrm:\t0000000000000000" in loaded.run("/bin/busybox", *status, options=("--user", "1000"))
