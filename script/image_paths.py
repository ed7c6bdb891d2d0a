"""Make store paths of lamina and of the Python packages that it needs, for the image of lamina (``script/image``).

    python script/image_paths.py STORE     adds them to the embedded store STORE, and prints the path with bin/lamina

The packages are those that ``script/environment run`` has installed, which requirements/run.txt pins with their
hashes. What depends on this machine is left out: the files that pip writes about an installation, and programs with the
path of this Python. Bytecode is added, because a user of the image cannot write it; it is valid for the same minor
version of Python.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path
from shutil import copyfile

from packaging.requirements import Requirement

import lamina

_REPOSITORY = Path(__file__).resolve().parent.parent
# Files that pip writes into the folder NAME.dist-info when it installs a package.
_OF_PIP = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
_PINNED = re.compile(r"^([^\s#-].*?) *\\?$", re.MULTILINE)
_PROGRAM = """\
#!/usr/bin/env python3
import sys

# The first entry is the folder of this program, which lies beside the modules of lamina.
sys.path[:1] = [sys.path[0].removesuffix("/bin"), *{folders!r}]

from lamina.cli.start import main

main()
"""


def add_packages(store: Path) -> str:
    """Add all packages to ``store``, and return the store path with the program."""
    with tempfile.TemporaryDirectory(prefix="lamina-image-") as work:
        folders = [_add(copy_package(package, Path(work)), store) for package in find_packages()]
        own = unpack_wheel(Path(work))
        program = own / "bin/lamina"
        program.parent.mkdir()
        program.write_text(_PROGRAM.format(folders=folders), encoding="utf-8")
        program.chmod(0o755)
        return _add(own, store)


def find_packages() -> Iterator[Distribution]:
    """Yield the installed packages that requirements/run.txt names for this system and this Python."""
    text = (_REPOSITORY / "requirements/run.txt").read_text(encoding="utf-8")
    for requirement in map(Requirement, _PINNED.findall(text)):
        if requirement.marker is None or requirement.marker.evaluate():
            found = distribution(requirement.name)
            if found.version not in requirement.specifier:
                sys.exit(f"{requirement.name}: got version {found.version}, expected {requirement.specifier} as pinned")
            yield found


def copy_package(package: Distribution, work: Path) -> Path:
    """Copy the files of a package that are the same wherever it is installed to a folder in ``work``."""
    folder = work / f"python-{package.name}-{package.version}"
    for file in package.files or ():
        is_of_pip = file.parent.suffix == ".dist-info" and file.name in _OF_PIP
        if ".." not in file.parts and file.suffix != ".pyc" and not is_of_pip:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            copyfile(str(package.locate_file(file)), folder / file)
    return folder


def unpack_wheel(work: Path) -> Path:
    """Unpack the wheel of this checkout to a folder in ``work``."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(work / "dist")]
    subprocess.run(command, cwd=_REPOSITORY, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (wheel,) = (work / "dist").iterdir()
    folder = work / f"lamina-{lamina.__version__}"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def _add(folder: Path, store: Path) -> str:
    """Compile the modules in ``folder``, add it to ``store``, and return its store path."""
    command = [sys.executable, "-m", "compileall", "-q", "-s", str(folder), "--invalidation-mode", "unchecked-hash"]
    # Some packages have files for other versions of Python, which do not compile; compileall tells by its status only.
    subprocess.run([*command, str(folder)], check=False, env={**os.environ, "PYTHONHASHSEED": "0"})
    return str(lamina.add_path(folder, embedded_store=store).info.path)


if __name__ == "__main__":
    sys.stdout.write(f"{add_packages(Path(sys.argv[1]))}\n")
