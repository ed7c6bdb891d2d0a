"""The folder of the programs that run beside a script, and the command lines that start them.

The programs are copied, because a sandbox shows neither lamina's own folder nor the home folder it may lie in.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from lamina.rootfs import session

_START = "import sys; sys.path.insert(0, sys.argv[1]); from lamina.rootfs.session.{0} import main; main(*sys.argv[2:])"


def install_programs(folder: Path) -> None:
    """Put the programs into ``folder``, which everybody may read."""
    package = folder / "lamina/rootfs/session"
    for made in (folder, package.parent.parent, package.parent, package):
        made.mkdir()
        made.chmod(0o755)  # at once, since the umask may have taken all of that away
    for inner in (package.parent.parent, package.parent):
        (inner / "__init__.py").touch()
    for source in Path(session.__file__).parent.glob("*.py"):
        shutil.copyfile(source, package / source.name)
    for parent, _, files in os.walk(folder):
        for name in files:
            Path(parent, name).chmod(0o644)


def build_start_command(program: str, folder: str, *arguments: str) -> list[str]:
    """Return the command line that starts ``program`` of the programs in ``folder``."""
    return [find_python(), "-I", "-S", "-B", "-c", _START.format(program), folder, *arguments]


def find_python() -> str:
    """Return the Python that runs, also where it was started without saying from where, as Nix does.

    Symlinks are followed, because a virtual environment's own folder need not be shown in a sandbox.
    """
    return os.path.realpath(sys.executable or "/proc/self/exe")


def find_python_folders() -> list[str]:
    """Return the folders that this Python needs when it starts with its standard library alone."""
    prefixes = dict.fromkeys((sys.base_prefix, sys.base_exec_prefix))
    folders = [f"{prefix}/{name}" for prefix in prefixes for name in ("lib", "lib64")]
    needed = [os.path.dirname(find_python()), os.path.dirname(os.path.realpath(os.__file__)), *folders]
    return [folder for folder in dict.fromkeys(needed) if os.path.isdir(folder)]
