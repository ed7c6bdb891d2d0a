"""Real engines that load images: dockerd and podman behind one interface, skopeo, containerd, a registry.

Each one keeps its files in the folder that it receives, and listens on unix sockets there or on a free loopback
port. Images are pulled from registries of the tests only; elsewhere a missing image is an error. Networks are `none`
or `host`.
"""

import json
import os
import re
import resource
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import IO, Any, Literal

import pytest
from tests.integration.tools import (
    ToolError,
    environment,
    find,
    loopback_port,
    mount_namespace,
    other_system,
    require,
    run,
    skip_unusable,
    start_server,
    with_private_mounts,
)

from lamina.core.names import Digest

# The blob cache of root's podman and skopeo: they copy differently once it says which registry has which layer.
_BLOB_CACHE = ("/var/lib/containers/cache",)

# dockerd must not set up a bridge or a packet filter on this machine.
_NO_BRIDGE = (
    "--bridge=none",
    *(f"--{name}=false" for name in ("iptables", "ip6tables", "ip-forward", "ip-masq")),
)


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that loads and runs images.

    `name` is unique. `driver` is its storage: "overlay2" (at most 125 layers), "vfs", or
    "overlayfs" with containerd's image store, for docker; "overlay" or "vfs" for podman.
    """

    kind: Literal["docker", "podman"]
    name: str
    version: tuple[int, ...]
    driver: str
    command: tuple[str, ...] = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)

    def call(
        self, *arguments: str | Path, stdin: IO[bytes] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of the client."""
        return run((*self.command, *arguments), self.environment, stdin=stdin, check=check)

    def load(self, archive: Path | IO[bytes]) -> str:
        """Load an archive and return the output of the engine, which names the images."""
        if isinstance(archive, Path):
            return self.call("load", "--input", archive.absolute()).stdout
        return self.call("load", stdin=archive).stdout

    def pull(
        self, reference: str, *, options: Sequence[str] = (), check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Pull an image from a registry of this machine that has no TLS, which docker accepts by itself."""
        flags = ("--tls-verify=false",) if self.kind == "podman" else ()
        return self.call("pull", *flags, *options, reference, check=check)

    @contextmanager
    def pulled(self, reference: str, *, options: Sequence[str] = ()) -> Iterator[None]:
        """Pull an image for the block; remove it even if the test fails or is skipped."""
        self.pull(reference, options=options)
        try:
            yield
        finally:
            self.remove(reference)

    def run(
        self,
        image: str,
        *arguments: str,
        network: Literal["none", "host"] = "none",
        options: Sequence[str] = (),
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a container to its end; `options` are the engine's own, `arguments` the entrypoint's."""
        flags = ("--rm", "--pull", "never", "--network", network, *options)
        return self.call("run", *flags, image, *arguments, check=check)

    @contextmanager
    def serving(self, image: str, *arguments: str, options: Sequence[str] = ()) -> Iterator[str]:
        """Run a container in the background, on the network of the host, for the block; yield its id."""
        flags = ("--detach", "--pull", "never", "--network", "host", *options)
        container = self.call("run", *flags, image, *arguments).stdout.strip()
        try:
            yield container
        finally:
            at_once = ("--time", "0") if self.kind == "podman" else ()
            self.call("rm", "--force", *at_once, container)

    def inspect(self, image: str) -> dict[str, Any]:
        """Return the document of the engine about an image."""
        (document,) = json.loads(self.call("image", "inspect", image).stdout)
        return dict(document)

    def check_id(self, image: str, digest: Digest) -> None:
        """Check that the ID of an image is the digest of its config.

        Docker with the image store of containerd shows the digest of the manifest instead.
        """
        if self.driver != "overlayfs":
            assert self.inspect(image)["Id"].removeprefix("sha256:") == digest.hex

    def images(self) -> tuple[str, ...]:
        """Return the names of all images, as `name:tag`."""
        listed = self.call("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").stdout
        return tuple(sorted(listed.split()))

    def remove(self, image: str) -> None:
        self.call("image", "rm", "--force", image)


@contextmanager
def _started(
    name: str, command: Sequence[str], env: Mapping[str, str], log: Path, is_ready: Callable[[], bool]
) -> Iterator[None]:
    """Run a server for the block; skip the test if it does not start."""
    with ExitStack() as stack:
        try:
            stack.enter_context(start_server(command, env, log, is_ready))
        except ToolError as error:
            skip_unusable(name, str(error))
        yield


def _succeeds(command: Sequence[str], env: Mapping[str, str]) -> Callable[[], bool]:
    return lambda: run(command, env, check=False).returncode == 0


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


# docker


@contextmanager
def start_dockerd(folder: Path, options: Sequence[str] = (), prefix: Sequence[str] = ()) -> Iterator[Engine]:
    """Start the dockerd of this machine for the block; without root, yield the running dockerd of this user.

    ``options`` are more options for it, and ``prefix`` is that of a command which becomes dockerd.
    """
    program, client = require("dockerd"), require("docker")
    if os.geteuid() != 0:
        try:
            running = _docker("docker", (client,), dict(os.environ))
        except ToolError as error:
            skip_unusable("dockerd", f"not root, and docker says: {error}")
        yield running
        return
    address = f"unix://{folder / 'docker.sock'}"
    env = environment(DOCKER_CONFIG=str(folder / "config"), TMPDIR=str(folder))
    command = (client, "--host", address)
    state = {"data-root": folder / "data", "exec-root": folder / "exec", "pidfile": folder / "docker.pid"}
    files = (f"--{name}={path}" for name, path in state.items())
    daemon = (*prefix, program, "--host", address, *files, *_NO_BRIDGE, *options)
    # Hide the containerd and the daemon.json of the system, which dockerd would use otherwise.
    private = with_private_mounts(daemon, hide=("/run/containerd", "/run/docker", "/etc/docker"))
    with _started("dockerd", private, env, folder / "log", _succeeds((*command, "info"), env)):
        yield _docker("docker", command, env)


def attach_docker(host: str, folder: Path) -> Engine:
    """Return the running dockerd of a DOCKER_HOST value. Raise ToolError if it does not answer."""
    env = environment(DOCKER_CONFIG=str(folder / "config"))
    return _docker(name_docker(host), (require("docker"), "--host", host), env)


def name_docker(host: str) -> str:
    """Return a short name for a DOCKER_HOST value: docker28 for unix:///run/docker28.sock."""
    return Path(host).stem or host


def _docker(name: str, command: tuple[str, ...], env: Mapping[str, str]) -> Engine:
    info = json.loads(run((*command, "info", "--format", "{{json .}}"), env).stdout)
    if info.get("ServerErrors"):  # old clients exit with status 0 despite them
        raise ToolError(" ".join(info["ServerErrors"]))
    return Engine("docker", name, _numbers(info["ServerVersion"]), info["Driver"], command, env)


# podman


@contextmanager
def start_podman(folder: Path, system: Sequence[str] = ()) -> Iterator[Engine]:
    """Yield podman with its own storage, with the overlay driver if that works and vfs otherwise.

    It is the podman of this machine, or that of another ``system``, which is the prefix of a command that runs there.
    """
    program = "podman" if system else require("podman")
    env = _podman_environment(folder)
    flags = ("--root", f"{folder}/root", "--runroot", f"{folder}/run", "--tmpdir", f"{folder}/tmp")
    with ExitStack() as stack:
        # Mounts of root's podman would outlive it; podman without root has its own namespace.
        inside: tuple[str, ...] = ()
        try:
            if system:
                inside = stack.enter_context(other_system(system, env))
            elif os.geteuid() == 0:
                inside = stack.enter_context(mount_namespace(env, hide=_BLOB_CACHE))
        except ToolError as error:
            skip_unusable("podman", str(error))
        for driver in ("overlay", "vfs"):
            storage = {"driver": driver, "graphroot": f"{folder}/root", "runroot": f"{folder}/run"}
            Path(env["CONTAINERS_STORAGE_CONF"]).write_text(_toml("storage", storage))
            command = (*inside, program, *flags, "--storage-driver", driver)
            info = run((*command, "info", "--format", "json"), env, check=False)
            if info.returncode == 0:
                break
        else:
            skip_unusable("podman", info.stderr.strip())
        version = _numbers(json.loads(info.stdout)["version"]["Version"])
        engine = Engine("podman", name_program("podman", system), version, driver, command, env)
        try:
            yield engine
        finally:
            engine.call("rm", "--all", "--force", "--time", "0")
            if os.geteuid() != 0:  # its storage belongs to several users, and podman bind-mounts it onto itself
                engine.call("unshare", "sh", "-c", 'umount -l "$1/overlay"; rm -rf "$1"', "sh", folder / "root")
                _end_pause(folder)


def name_program(program: str, system: Sequence[str] = ()) -> str:
    """Return a short name for a program of another system: podman-trixie for podman and ``run trixie``."""
    return "-".join((program, *system[-1:]))


def _podman_environment(folder: Path) -> dict[str, str]:
    """Write the configuration of podman to the folder, and return the environment that makes podman read it there."""
    settings = folder / "home/.config/containers"
    settings.mkdir(parents=True)
    (folder / "xdg").mkdir(mode=0o700)
    # The default limits of podman are often above the hard limits here, which not every root can raise.
    limits = [f"nofile={_limit(resource.RLIMIT_NOFILE)}", f"nproc={_limit(resource.RLIMIT_NPROC)}"]
    engine = {
        "cgroup_manager": "cgroupfs",
        "events_logger": "file",
        "lock_type": "file",
        # crun, podman's first choice, refuses machines with both versions of cgroups.
        **({"runtime": "runc"} if find("runc") else {}),
    }
    (settings / "containers.conf").write_text(
        _toml("containers", {"default_ulimits": limits}) + _toml("engine", engine)
    )
    (settings / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}\n')
    (settings / "registries.conf").write_text("unqualified-search-registries = []\n")
    return environment(
        HOME=str(folder / "home"),  # policy.json is looked for there
        XDG_RUNTIME_DIR=str(folder / "xdg"),
        XDG_CONFIG_HOME=str(folder / "home/.config"),
        CONTAINERS_CONF=str(settings / "containers.conf"),
        CONTAINERS_STORAGE_CONF=str(settings / "storage.conf"),
        CONTAINERS_REGISTRIES_CONF=str(settings / "registries.conf"),
        PODMAN_IGNORE_CGROUPSV1_WARNING="1",
        TMPDIR=str(folder),
    )


def _toml(table: str, values: Mapping[str, object]) -> str:
    lines = (f"{key} = {json.dumps(value)}\n" for key, value in values.items())
    return f"[{table}]\n{''.join(lines)}"


def _limit(kind: int) -> str:
    hard = resource.getrlimit(kind)[1]
    value = 16384 if hard == resource.RLIM_INFINITY else min(hard, 16384)
    return f"{value}:{value}"


def _end_pause(folder: Path) -> None:
    """End the process that keeps the user namespace of podman without root."""
    for file in folder.rglob("pause.pid"):
        os.kill(int(file.read_text()), signal.SIGTERM)


# skopeo


@dataclass(frozen=True, slots=True)
class Skopeo:
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)

    def call(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        return run((*self.command, *arguments), self.environment, check=check)

    def inspect(self, reference: str, *options: str) -> dict[str, Any]:
        """Return the document of `skopeo inspect`, for instance with "--config" or "--raw"."""
        return dict(json.loads(self.call("inspect", *options, reference).stdout))

    def copy(self, source: str, destination: str, *options: str) -> None:
        self.call("copy", "--quiet", *options, source, destination)


def find_skopeo(folder: Path, system: Sequence[str] = ()) -> Skopeo:
    """Return skopeo without a blob cache and without the user's configuration; its logins are kept in the folder.

    It is the skopeo of this machine, or that of another ``system``, which is the prefix of a command that runs there.
    """
    home = str(folder)
    env = environment(HOME=home, XDG_RUNTIME_DIR=home, REGISTRY_AUTH_FILE=f"{home}/auth.json", TMPDIR=home)
    command = (*system, "skopeo", "--insecure-policy", "--tmpdir", home)
    if system:
        return Skopeo(command, env)
    command = (require("skopeo"), *command[1:])
    private = with_private_mounts(command, hide=_BLOB_CACHE)
    can_hide = os.geteuid() == 0 and _succeeds((*private, "--version"), env)()
    return Skopeo(private if can_hide else command, env)


# crane and oras


@dataclass(frozen=True, slots=True)
class RegistryClient:
    """A program that reads and writes registries; ``command`` may begin with a wrapper."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)

    def call(self, *arguments: str | Path) -> str:
        """Run a command to its end, and return what it printed."""
        return run((*self.command, *arguments), self.environment).stdout


def find_client(name: str, prefix: Sequence[str], folder: Path) -> RegistryClient:
    """Return the client ``name`` of this machine, or else the one that ``prefix`` runs; it has no logins."""
    own = find(name)
    if own is None and not prefix:
        pytest.skip(f"{name} is not here, and LAMINA_TEST_CLIENTS names no system that has it")
    return RegistryClient((own,) if own else (*prefix, name), environment(DOCKER_CONFIG=str(folder)))


@contextmanager
def start_crane_registry(crane: RegistryClient, folder: Path) -> Iterator[str]:
    """Start crane's registry for the block, and yield its address. Its blobs are in memory."""
    address = f"127.0.0.1:{loopback_port()}"
    command = (*crane.command, "registry", "serve", "--address", address)
    with start_server(command, crane.environment, folder / "log", lambda: _answers(address)):
        yield address


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with suppress(OSError), socket.create_connection((host, int(port))):
        return True
    return False


# containerd


@dataclass(frozen=True, slots=True)
class Containerd:
    command: tuple[str, ...]
    snapshotter: str
    outputs: Path
    environment: Mapping[str, str] = field(repr=False)

    def call(
        self, *arguments: str | Path, stdin: IO[bytes] | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of ctr."""
        return run((*self.command, *arguments), self.environment, stdin=stdin, check=check)

    def import_(self, archive: Path | IO[bytes]) -> str:
        """Import a docker-archive or an OCI archive, unpack it, and return the output of ctr."""
        if isinstance(archive, Path):
            with archive.open("rb") as file:
                return self.import_(file)
        return self.call("images", "import", "--snapshotter", self.snapshotter, "-", stdin=archive).stdout

    def pull(self, reference: str) -> None:
        """Pull an image from a registry without TLS, and unpack it."""
        self.call("images", "pull", "--plain-http", "--snapshotter", self.snapshotter, reference)

    def images(self) -> tuple[str, ...]:
        """Return the full names of all images, sorted."""
        return tuple(sorted(self.call("images", "list", "--quiet").stdout.split()))

    def run(self, image: str, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a container to its end, without network; ``command`` replaces both the entrypoint and its arguments."""
        name = f"test-{next(_NUMBERS)}"
        output = self.outputs / name
        # Containerd writes the output to a file. What ctr reads from FIFOs may lack the output of a short program.
        flags = ("--rm", "--snapshotter", self.snapshotter, "--log-uri", f"file://{output}")
        done = self.call("run", *flags, image, name, *command, check=check)
        written = output.read_text(errors="surrogateescape") if output.exists() else ""
        return subprocess.CompletedProcess(done.args, done.returncode, written, done.stderr or written)

    def remove(self, image: str) -> None:
        self.call("images", "remove", "--sync", image)


_NUMBERS = count()


@contextmanager
def start_containerd(folder: Path, system: Sequence[str] = ()) -> Iterator[Containerd]:
    """Start the containerd of this machine for the block.

    Or that of another ``system``, which is the prefix of a command that runs there.
    """
    program, client = ("containerd", "ctr") if system else (require("containerd"), require("ctr"))
    if os.geteuid() != 0:
        skip_unusable("containerd", "it needs root")
    env = environment(TMPDIR=str(folder))
    address = str(folder / "containerd.sock")
    (folder / "config.toml").write_text(
        f"""\
version = 2
root = {json.dumps(str(folder / "root"))}
state = {json.dumps(str(folder / "state"))}
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = {json.dumps(address)}
[plugins."io.containerd.internal.v1.opt"]
  path = {json.dumps(str(folder / "opt"))}
"""
    )
    daemon: Sequence[str] = (*system, program, "--config", str(folder / "config.toml"))
    if not system:
        daemon = with_private_mounts(daemon, hide=("/run/containerd",))
    command = (*system, client, "--address", address, "--namespace", "lamina")
    with _started("containerd", daemon, env, folder / "log", _succeeds((*command, "version"), env)):
        plugins = run((*command, "plugins", "list"), env).stdout
        works = re.search(r"snapshotter\S*\s+overlayfs\s.*\bok\b", plugins)
        yield Containerd(command, "overlayfs" if works else "native", folder, env)


# registry


@contextmanager
def start_registry(folder: Path, auth: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Start a docker-registry that allows deletion, for the block; yield its address, 127.0.0.1:PORT (no TLS).

    ``auth`` is the part of that name in its settings; without it, there is no login.
    """
    program = require("docker-registry")
    settings = {
        "version": "0.1",
        "log": {"level": "info"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "http": {"addr": "127.0.0.1:0"},
        **({"auth": auth} if auth else {}),
    }
    (folder / "config.yml").write_text(json.dumps(settings))  # JSON is YAML
    log = folder / "log"

    def read_address() -> str | None:
        match = re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text(errors="replace"))
        return match[1] if match else None

    command = (program, "serve", str(folder / "config.yml"))
    with _started("docker-registry", command, environment(), log, lambda: read_address() is not None):
        address = read_address()
        assert address is not None
        yield address
