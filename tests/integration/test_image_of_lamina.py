"""``script/image`` makes an image of lamina that docker runs as an ordinary user, on a base with the same Python."""

import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from tests.integration.engines import Engine
from tests.integration.tools import environment
from tests.support.example_store import CACHE, KEY, SYSTEM, hello
from tests.support.image_files import docker_archive, sha256
from tests.support.paths import EXAMPLES, REPOSITORY

import lamina

PYTHON = Path(sys.base_prefix) / f"bin/python3.{sys.version_info.minor}"
LEFT_OUT = {"test", "tests", "__pycache__", "site-packages", "dist-packages", "idlelib", "ensurepip"}
# What the base image of the tests has besides Python: a shell, and the program that finds python3 in PATH.
PROGRAMS = ("/bin/sh", "/usr/bin/env")
TAG = "lamina:test"


def find_libraries(files: Iterable[Path]) -> Iterator[Path]:
    """Yield the shared libraries that the dynamic linker of this machine loads for ``files``."""
    ran = subprocess.run(["ldd", *files], capture_output=True, text=True, check=False)
    yield from {Path(name) for name in re.findall(r"^\t(?:\S+ => )?(/\S+) \(0x", ran.stdout, re.MULTILINE)}


def find_files() -> Iterator[Path]:
    """Yield the files of the Python of this machine, and of what its modules and those of lamina load."""
    standard = Path(sysconfig.get_path("stdlib"))
    modules = [
        file
        for file in standard.rglob("*")
        if file.is_file()
        and not LEFT_OUT & {*file.relative_to(standard).parts}
        and not file.parent.name.startswith("config-")
    ]
    packages = Path(sysconfig.get_path("platlib")).rglob("*.so")
    programs = [PYTHON, *map(Path, PROGRAMS)]
    yield from (*programs, *modules)
    yield from find_libraries([*programs, *(file for file in modules if ".so" in file.name), *packages])


def make_base() -> bytes:
    """Return a base image with the Python of this machine as ``/usr/local/bin/python3``, as python:3.N-slim has it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        # Libraries are in /usr in fact, as in a Debian.
        links = {folder: f"usr/{folder}" for folder in ("bin", "lib", "lib64")}
        names = {re.sub(r"^(bin|lib64|lib)/", r"usr/\1/", str(file)[1:]): file for file in find_files()}
        folders = {str(parent) for name in names for parent in Path(name).parents} | {*links.values(), "usr/local/bin"}
        for name in sorted(folders - {"."}):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
        for name, target in {**links, "usr/local/bin/python3": str(PYTHON)}.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
        for name, file in sorted(names.items()):
            data = file.read_bytes()
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o755 if os.access(file, os.X_OK) else 0o644
            archive.addfile(member, io.BytesIO(data))
    layer = out.getvalue()
    config = {
        "os": "linux",
        "architecture": {"x86_64-linux": "amd64", "aarch64-linux": "arm64"}[SYSTEM],
        "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "Cmd": ["python3"]},
        "rootfs": {"type": "layers", "diff_ids": [sha256(layer)]},
    }
    return docker_archive({"layer.tar": layer}, config=config)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout whose .venv is the environment of the tests, which has all that `script/environment run` installs."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "script").mkdir()
    for name in ("image", "image_paths.py", "man_pages.py", "sdist_hook.py", "metadata_hook.py"):
        shutil.copy(REPOSITORY / "script" / name, folder / "script")
    (folder / "script/environment").write_text("#!/bin/sh\n")
    (folder / "script/environment").chmod(0o755)
    for name in ("src", "requirements", "pyproject.toml", "README.md", "LICENSE"):
        (folder / name).symlink_to(REPOSITORY / name)
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


@pytest.fixture(scope="module")
def base(registry: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The base image in a registry."""
    file = tmp_path_factory.mktemp("base") / "base.tar"
    file.write_bytes(make_base())
    lamina.push_image(file, to=f"{registry}/python:3-slim")
    return f"{registry}/python:3-slim"


def make_image(checkout: Path, *arguments: str | Path) -> str:
    command = [checkout / "script/image", *arguments]
    ran = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


@pytest.fixture(scope="module")
def image(checkout: Path, base: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an image of lamina."""
    file = tmp_path_factory.mktemp("image") / "lamina.tar"
    assert make_image(checkout, "--from-image", base, "-t", TAG, "-o", file) == str(file)
    return file


@pytest.fixture(scope="module")
def engine(image: Path, own_docker: Engine) -> Iterator[Engine]:
    """A docker that has loaded the image."""
    own_docker.load(image)
    yield own_docker
    own_docker.remove(TAG)


def test_the_image_runs_lamina_as_an_ordinary_user(engine: Engine) -> None:
    assert engine.run(TAG, "--version").stdout == f"lamina {lamina.__version__}\n"
    assert "Usage: lamina" in engine.run(TAG).stdout
    code = "import os, ssl; print(os.getuid(), os.getcwd(), ssl.create_default_context().cert_store_stats())"
    shell = (
        f'lamina --version >"$HOME/file" && python3 -c "{code}" && echo x >/tmp/file && ! touch /etc/file 2>/dev/null'
    )
    seen = engine.run(TAG, "-c", shell, options=("--entrypoint", "/bin/sh")).stdout
    assert re.fullmatch(r"1000 /home/lamina \{.*'x509_ca': [1-9]\d\d?\}\n", seen), seen


def test_the_image_builds_an_image_from_a_binary_cache(engine: Engine, tmp_path: Path) -> None:
    """The container writes the same bytes as lamina on this machine; worker processes and the embedded store work."""
    arguments = ("build", str(hello()), "--trusted-key", KEY, "--cmd", "/bin/hello", "-t", "hello:1")
    options = ("--volume", f"{EXAMPLES / 'cache'}:/cache:ro", "--volume", f"{tmp_path}:/out")
    tmp_path.chmod(0o777)
    engine.run(TAG, *arguments, "--store", "file:///cache", "-o", "/out/inside.tar", "--jobs", "2", options=options)
    command = [sys.executable, "-m", "lamina", *arguments, "--store", CACHE, "-o", str(tmp_path / "outside.tar")]
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "inside.tar").read_bytes() == (tmp_path / "outside.tar").read_bytes()


def test_each_package_has_a_layer_of_its_own(image: Path) -> None:
    layers = lamina.inspect(image)[0].layers
    names = [[path.name for path in layer.paths] for layer in layers if layer.paths]
    assert [f"lamina-{lamina.__version__}"] in names
    assert len(names) > 20
    assert {len(layer) for layer in names} == {1}


def test_a_push_makes_the_same_image_again(checkout: Path, base: str, registry: str, image: Path) -> None:
    reference = f"{registry}/lamina:{lamina.__version__}"
    pushed = make_image(checkout, "--from-image", base, "--to", reference)
    assert pushed.startswith(f"{reference}@sha256:")
    assert lamina.inspect(reference)[0].id == lamina.inspect(image)[0].id
