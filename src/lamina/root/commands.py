"""Extra commands: a bash script run over the root, in a folder of its own.

Invariant: the script starts from the same tree, environment and umask every time, and all that it leaves is in the
tree that comes back, owned by root as it is in the image.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lamina.errors import FormatError, OutputError, ScriptError
from lamina.nodes import Directory, Regular, Symlink
from lamina.root.tree import DIRECTORY_MODE, Meta, Tree
from lamina.walk import scan
from lamina.workspace import Workspace

SOURCE_DATE_EPOCH = 315532800
_UMASK = 0o022
_OUTPUT_LIMIT = 1 << 16


@dataclass(frozen=True, slots=True)
class Ran:
    """The tree that a script left, what it printed, and the folder that holds the tree's files."""

    tree: Tree
    output: str
    workspace: Workspace


def run(tree: Tree, script: str, search_path: str) -> Ran:
    """Runs ``script`` with bash (errexit, pipefail) in a folder that holds ``tree``; what it leaves running is ended.

    The tree that comes back refers to files in the workspace, which is removed when nothing refers to it any more.
    Raises `ScriptError` where the script fails or there is no bash on ``search_path``, `FormatError` for a socket,
    device or pipe it left, `OutputError` where the folder cannot be written.
    """
    bash = shutil.which("bash", path=search_path)
    if not bash:
        raise ScriptError("extra commands: got no bash, expected one on PATH", hint="install bash")
    try:
        workspace = Workspace()
        root, scratch, file = (workspace.path / name for name in ("root", "tmp", "extra-commands"))
        _write(tree, root)
        scratch.mkdir()
        # A file, for no argument may be as long as a script.
        file.write_bytes(script.encode("utf-8", "surrogateescape"))
        printed = (workspace.path / "output").open("w+b")
    except OSError as error:
        place = error.filename or "temporary folder"
        raise OutputError(f"{place}: got {error.strerror}, expected to write the root there") from error
    with printed:
        status = _bash([bash, "-e", "-o", "pipefail", str(file)], root, scratch, search_path, printed)
        printed.seek(max(0, printed.seek(0, os.SEEK_END) - _OUTPUT_LIMIT))
        output = printed.read().decode("utf-8", "replace")
    if status:
        how = f"exit status {status}" if status > 0 else f"signal {-status}"
        raise ScriptError(f"extra commands: got {how}, expected 0", output=output)
    return Ran(_read(root), output, workspace)


def _bash(command: list[str], root: Path, scratch: Path, search_path: str, output: IO[bytes]) -> int:
    """The exit status, or minus the signal."""
    environment = {
        "PATH": search_path,
        "HOME": "/homeless-shelter",
        "TMPDIR": str(scratch),
        "LC_ALL": "C",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH),
    }
    process = subprocess.Popen(
        command,
        cwd=root,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        umask=_UMASK,
        process_group=0,
    )
    try:
        return process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _write(tree: Tree, root: Path) -> None:
    for node, _ in tree:
        target = os.path.join(os.fsencode(root), node.path) if node.path else os.fsencode(root)
        match node:
            case Directory():
                os.mkdir(target)
                os.chmod(target, DIRECTORY_MODE)
            case Symlink():
                os.symlink(node.target, target)
            case Regular():
                raise FormatError(f"{os.fsdecode(node.path)}: got a file, expected links and folders alone")


def _read(root: Path) -> Tree:
    if root.is_symlink() or not root.is_dir():
        raise ScriptError("extra commands: got no folder where they began, expected the root there")
    tree = Tree()
    for node, mode in scan(os.fsencode(root)):
        tree.put(node, Meta(mode))
    return tree
