"""Install the programs that run beside a script into a folder, and build the command lines that start them.

The programs are copied because a sandbox shows neither the folder where lamina is installed nor a home folder.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from lamina.rootfs import session

_START = "import sys; sys.path.insert(0, sys.argv[1]); from lamina.rootfs.session.{0} import main; main(*sys.argv[2:])"


def install_programs(folder: Path) -> None:
    """Copy the programs into the new folder ``folder``, readable for every user."""
    package = folder / "lamina/rootfs/session"
    for made in (folder, package.parent.parent, package.parent, package):
        made.mkdir()
        made.chmod(0o755)  # the umask may have removed these bits, which are needed to add files
    for inner in (package.parent.parent, package.parent):
        (inner / "__init__.py").touch()
    for source in Path(session.__file__).parent.glob("*.py"):
        shutil.copyfile(source, package / source.name)
    for parent, _, files in os.walk(folder):
        for name in files:
            Path(parent, name).chmod(0o644)


def build_start_command(program: str, folder: str, *arguments: str) -> list[str]:
    """Return the command line that starts ``program``, a module of `lamina.rootfs.session` installed in ``folder``."""
    return [find_python(), "-I", "-S", "-B", "-c", _START.format(program), folder, *arguments]


def find_python() -> str:
    """Return the path of the running Python, even if `sys.executable` is empty, as it can be under Nix.

    Symlinks are followed because a sandbox may not show the folder of a virtual environment.
    """
    return os.path.realpath(sys.executable or "/proc/self/exe")


def find_python_folders() -> list[str]:
    """Return the folders that this Python needs to run with only its standard library."""
    prefixes = dict.fromkeys((sys.base_prefix, sys.base_exec_prefix))
    folders = [f"{prefix}/{name}" for prefix in prefixes for name in ("lib", "lib64")]
    needed = [os.path.dirname(find_python()), os.path.dirname(os.path.realpath(os.__file__)), *folders]
    return [folder for folder in dict.fromkeys(needed) if os.path.isdir(folder)]
