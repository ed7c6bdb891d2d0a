"""Build an image, change one file of it, build it again, and say what the update sends. ``script/demo`` starts it.

The image has the program of examples/, from its binary cache, a library of real size, and a folder with a file that
changes. Every figure is measured in this run.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import botocore

from lamina.messages.sizes import format_size

_REPOSITORY = Path(__file__).resolve().parent.parent
_LIBRARY = Path(botocore.__file__).parent
_ROOTS = json.loads((_REPOSITORY / "examples/roots.json").read_text())
_ROOT = _ROOTS["aarch64-linux" if platform.machine() in ("arm64", "aarch64") else "x86_64-linux"]
# The program takes its words from the folder that this variable names.
_WORDS = "HELLO_LANGUAGE=/share/words"
_ARGUMENTS = f"$app $hello -t app:{{}} --cmd /bin/hello \\\n    --env {_WORDS}"
# Layers are compressed in the layout, as they would be in a registry.
_BUILD = f"lamina build {_ARGUMENTS} --layer-compression gzip -o images/"


@dataclass(frozen=True, slots=True)
class Session:
    """A temporary folder in which commands are shown and run; ``variables`` are those of its shell."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, command: str) -> float:
        """Show and run a command, and return the seconds that it took."""
        _print(f"$ {command}")
        start = time.perf_counter()
        self._run(command, stdout=None)
        return time.perf_counter() - start

    def read(self, command: str) -> str:
        """Run a command that is not shown, and return what it prints."""
        return self._run(command, stdout=subprocess.PIPE).decode().strip()

    def assign(self, name: str, command: str) -> None:
        """Show and run a command whose output becomes the value of a variable."""
        _print(f"$ {name}=$({command})")
        self.variables[name] = self.read(command)

    def _run(self, command: str, stdout: int | None) -> bytes:
        settings = {
            "PATH": f"{_REPOSITORY / '.venv/bin'}:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin",
            # The store paths, and what is known of layers, are in the folder too.
            "XDG_DATA_HOME": str(self.folder / "data"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "CI": "true",  # a line for each layer, and no bars
        }
        shell = ["/bin/sh", "-euc", command]
        environment = {**os.environ, **settings, **self.variables}
        # A group of its own is ended as a whole, so that nothing still writes to the folder when it is removed.
        with hold_signals() as release:
            process = subprocess.Popen(shell, cwd=self.folder, env=environment, stdout=stdout, process_group=0)
            try:
                release()
                output, _ = process.communicate()
            except BaseException:
                end_group(process)
                raise
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, shell, output)
        return output or b""


@contextmanager
def hold_signals() -> Iterator[Callable[[], None]]:
    """Hold back `SIGINT` and `SIGTERM`, which would lose a process that is just being started.

    Returns:
        A context manager, which gives a function that handles those that came, and from then on all others at once.

    """
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }

    def release() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        while came:
            signal.raise_signal(came.pop())

    try:
        yield release
    finally:
        release()


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End the processes in the group of ``process``: with `SIGTERM` and, after five seconds, with `SIGKILL`."""
    deadline = time.monotonic() + 5
    os.killpg(process.pid, signal.SIGTERM)
    try:
        while True:
            process.poll()
            os.killpg(process.pid, signal.SIGKILL if time.monotonic() > deadline else 0)
            time.sleep(0.01)
    except (ProcessLookupError, PermissionError):  # macOS reports the latter about a group of zombies
        return


def main() -> None:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(prog="script/demo", description="Show what an update of an image sends.")
    parser.add_argument("--to", metavar="REGISTRY/NAME", help="push both images to this repository, too")
    parser.add_argument("--insecure", action="store_true", help="the registry may have no TLS")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with _temporary_folder() as folder:
            # An engine that is interrupted leaves temporary files.
            os.environ["TMPDIR"] = str(folder)
            _print(f"This demo works in {folder} and removes it at the end.")
            show(Session(folder), given.to and f"{shlex.quote(given.to)}{' --insecure' * given.insecure}")
    except subprocess.CalledProcessError as error:
        # The command has printed the reason already.
        sys.exit(f"script/demo: {shlex.join(error.cmd)}: got exit status {error.returncode}, expected 0")
    except KeyboardInterrupt:
        sys.exit(130)


def show(session: Session, destination: str | None) -> None:
    """Make both images, run them, and print what the update sends; push them to ``destination`` if there is one."""
    make_store_paths(session)
    engines = find_engines()
    _print_title("Version 1: all layers are new")
    first = session.run(_BUILD.format(1))
    run_image(session, engines, 1)
    _print_title("Version 2: one file has changed")
    blobs = list_blobs(session)
    session.run("echo 'Hello from version 2, @!' >app/share/words/greeting")
    session.assign("app", "lamina store add app --name app-1.0")
    second = session.run(_BUILD.format(2))
    run_image(session, engines, 2)
    _print_title("The update")
    session.run("lamina diff images/#app:1 images/#app:2 | head -n 7")
    if destination:
        name, _, options = destination.partition(" ")
        for tag in (1, 2):
            session.run(f"lamina push images/#app:{tag} --to {name}:{tag} {options}".rstrip())
    print_result(session, list_blobs(session) - blobs, first, second)


def make_store_paths(session: Session) -> None:
    """Make store paths of the program, the library and the folder with the file that changes."""
    words = session.folder / "app/share/words"
    words.mkdir(parents=True)
    (words / "greeting").write_text("Hello from version 1, @!\n", encoding="utf-8")
    (words / "everyone").write_text("world\n", encoding="utf-8")
    session.variables.update(
        hello=_ROOT,
        cache=(_REPOSITORY / "examples/cache").as_uri(),
        key=(_REPOSITORY / "examples/public-key").read_text().strip(),
        packages=str(_LIBRARY.parent),
    )
    _print_title("An application: a program, a library that it needs, and files of its own")
    session.run('lamina store fetch $hello --store "$cache" --trusted-key "$key" -q >/dev/null')
    session.assign("library", f'lamina store add "$packages/botocore" --name botocore-{version("botocore")}')
    session.run("ln -s $library app/botocore   # the application refers to the library")
    session.assign("app", "lamina store add app --name app-1.0")


def find_engines() -> list[str]:
    """Return which of docker and podman answer. A podman that was never used here is left, as it would make folders."""
    data = Path("/var/lib") if os.geteuid() == 0 else Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share")
    engines = ["docker", *["podman"] * (data.expanduser() / "containers").is_dir()]
    return [engine for engine in engines if shutil.which(engine) and _succeeds(engine, "info")]


def run_image(session: Session, engines: list[str], tag: int) -> None:
    """Run an image in the first of ``engines`` that can do it, and remove the others from the list; or unpack it."""
    while engines and not run_in_engine(session, engines[0], tag):
        engines.pop(0)
    if not engines:
        run_unpacked(session, tag)


def run_in_engine(session: Session, engine: str, tag: int) -> bool:
    """Load the image into an engine, run it, remove it, and return whether the engine could run it."""
    name = f"localhost/lamina-demo:{tag}"
    arguments = _ARGUMENTS.format(tag).replace(f"app:{tag}", name)
    run = [engine, "run", "--rm", "--pull", "never", "--network", "none", name]
    try:
        _print(f"$ lamina stream $app $hello -t {name} … | {engine} load")
        session.read(f"lamina stream {arguments} --quiet | {engine} load 2>&1")
        _print(f"$ {shlex.join(run)}")
        ran = subprocess.run(run, capture_output=True, text=True, check=False)
    except subprocess.CalledProcessError as error:
        _print(f"({engine} cannot load images here: {error.stdout.decode().strip()})")
        return False
    finally:
        _succeeds(engine, "rmi", name)
    if ran.returncode:
        reason = ran.stderr.strip().splitlines() or [f"exit status {ran.returncode}"]
        _print(f"({engine} cannot run containers here: {reason[0]})")
    else:
        _print(ran.stdout.rstrip())
    return ran.returncode == 0


def run_unpacked(session: Session, tag: int) -> None:
    """Unpack the image and run its program there, as far as this machine can do that."""
    root = session.folder / f"root-{tag}"
    session.read(f"lamina build {_ARGUMENTS.format(tag)} --quiet -o root.tar")
    unpack = [
        sys.executable,
        str(_REPOSITORY / "examples/unpack_image.py"),
        str(session.folder / "root.tar"),
        str(root),
    ]
    subprocess.run(unpack, check=True)
    if sys.platform != "linux":
        _print(f"(Only docker or podman could run this program for Linux here; it is root-{tag}/bin/hello.)")
        return
    enter = "chroot" if os.geteuid() == 0 else "unshare -Ur chroot"
    try:
        session.run(f"env {_WORDS} {enter} root-{tag} /bin/hello")
    except subprocess.CalledProcessError:
        _print("(An ordinary user cannot change the root here, and neither docker nor podman works.)")


def list_blobs(session: Session) -> set[Path]:
    """Return the files of the layout: layers, configs and manifests."""
    return set((session.folder / "images/blobs/sha256").iterdir())


def print_result(session: Session, new: set[Path], first: float, second: float) -> None:
    """Print what an update sends, what the whole image and a single layer would, and how long both builds took.

    Args:
        session: The session that has made both images.
        new: The files that the second build has added to the layout.
        first: The seconds that the first build took.
        second: The seconds that the second build took.
    """
    found: dict[str, Any] = json.loads(session.read("lamina diff images/#app:1 images/#app:2 --json"))
    layers, whole = found["sent"], found["new"]
    update = sum(file.stat().st_size for file in new)
    documents = update - layers["size"]
    session.read("lamina export images/#app:2 --quiet -o root.tar")
    single = measure_compressed(session.folder / "root.tar") + documents
    whole_size = whole["size"] + documents
    _print("")
    layer_count = f"{layers['blob_count']} of {whole['layer_count']} layers"
    for label, figure, remark in (
        ("This update sends", format_size(update), f"{layer_count}, the config and the manifest"),
        ("The whole image", format_size(whole_size), f"{whole_size // update:,} times as much"),
        ("One layer of all files", format_size(single), f"{single // update:,} times as much: what one COPY sends"),
        ("The first build", f"{first:.2f} s", ""),
        ("The second build", f"{second:.2f} s", "docs/performance.md has the times for 2.9 GB"),
    ):
        _print(f"{label:22} {figure:>10}  {remark}".rstrip())


def measure_compressed(file: Path) -> int:
    """Return the size of a file after gzip with its usual level."""
    packed = file.with_suffix(".gz")
    with file.open("rb") as source, gzip.open(packed, "wb", compresslevel=6) as target:
        shutil.copyfileobj(source, target)
    return packed.stat().st_size


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """Make a folder for the block, and remove it afterwards, with folders in it that may only be read."""
    folder = Path(tempfile.mkdtemp(prefix="lamina-demo."))
    try:
        yield folder
    finally:
        for path, _, _ in os.walk(folder):
            os.chmod(path, 0o700)
        shutil.rmtree(folder)


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _print_title(title: str) -> None:
    is_bold = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    _print(f"\n\x1b[1m== {title}\x1b[0m" if is_bold else f"\n== {title}")


def _print(text: str) -> None:
    """Print before the next command does."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
