"""Extra commands and fakeroot commands: bash scripts run over the root, in a folder of its own.

Invariant: a script starts from the same tree, environment and umask every time, and all that it leaves is in the tree
that comes back, with the owners, modes and extended attributes that it gave within its own session.

In this order (nixpkgs: dockerTools): extra commands as whoever runs lamina, all of it owned by root afterwards; then
fakeroot commands in a fakeroot session, where ``chown`` and the like work; with ``chroot`` they see the root as ``/``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lamina.errors import FormatError, OutputError, ScriptError, shown
from lamina.nodes import Directory, Node, Regular, Symlink
from lamina.root import session
from lamina.root.guest import Guest
from lamina.root.tree import Meta, Tree
from lamina.walk import kind, scan
from lamina.workspace import Workspace

SOURCE_DATE_EPOCH = 315532800
_UMASK = 0o022
_OUTPUT_LIMIT = 1 << 16
_EXTRA = "extra commands"
_FAKE_ROOT = "fakeroot commands"
# How long a fakeroot session takes to end once it is told to.
_PATIENCE = 10


@dataclass(frozen=True, slots=True)
class Scripts:
    """What is to be run: ``extra``, then ``fake_root``, the latter with the root as ``/`` where ``chroot`` says so.

    ``search_path`` is where programs are looked for; ``time_limit`` is in seconds for each, None for none.
    """

    extra: str = ""
    fake_root: str = ""
    chroot: bool = False
    search_path: str = os.defpath
    time_limit: float | None = None

    def __bool__(self) -> bool:
        return bool(self.extra or self.fake_root)


@dataclass(frozen=True, slots=True)
class Ran:
    """The tree that the scripts left, what they printed, and the folder that holds the tree's files."""

    tree: Tree
    output: str
    workspace: Workspace


def run(tree: Tree, scripts: Scripts) -> Ran:
    """Runs the scripts with bash (errexit, pipefail) in a folder that holds ``tree``; what they leave running is ended.

    The tree that comes back refers to files in the workspace, which is removed when nothing refers to it any more.
    Raises `ScriptError` where a script fails, takes too long, or needs a program that is not on the search path,
    `FormatError` for a socket, device or pipe it left, `OutputError` where the folder cannot be written.
    """
    runner = _Runner(scripts, tree)
    if scripts.extra:
        runner.extra()
    if scripts.fake_root:
        runner.fake_root()
    return Ran(runner.tree(), runner.output, runner.workspace)


class _Runner:
    """Runs one script after the other over the same folder."""

    def __init__(self, scripts: Scripts, tree: Tree) -> None:
        self._scripts = scripts
        self._entries: dict[bytes, session.Entry] = {}
        self.output = ""
        try:
            self.workspace = Workspace()
            folder = self.workspace.path
            self._root, self._scratch, self._task = folder / "root", folder / "tmp", folder / "task"
            _write(tree, self._root)
            self._scratch.mkdir()
            self._scratch.chmod(0o755)
        except OSError as error:
            raise _unwritable(error) from error

    def extra(self) -> None:
        """Runs the extra commands; all that there is belongs to root afterwards."""
        self._run(_EXTRA, self._scripts.extra, [], None)
        self._entries = {path: entry._replace(uid=0, gid=0) for path, entry in self._entries.items()}

    def fake_root(self) -> None:
        """Runs the fakeroot commands."""
        guest = None
        if self._scripts.chroot:
            proot = self._program("proot", _FAKE_ROOT)
            guest = Guest.of(proot, str(self._root), self._scripts.search_path, str(self._scratch))
        self._run(_FAKE_ROOT, self._scripts.fake_root, [self._program("fakeroot", _FAKE_ROOT), "--"], guest)

    def tree(self) -> Tree:
        """What the last script left."""
        if self._root.is_symlink() or not self._root.is_dir():
            what = _FAKE_ROOT if self._scripts.fake_root else _EXTRA
            raise ScriptError(f"{what}: got no folder where they began, expected the root there")
        tree = Tree()
        for node, mode in scan(os.fsencode(self._root)):
            entry = self._entries.get(node.path)
            tree.put(node, _meta(node, entry) if entry else Meta(mode))
        return tree

    def _run(self, what: str, script: str, fakeroot: list[str], guest: Guest | None) -> None:
        bash = self._program("bash", what)
        result, file = self.workspace.path / "result", self._scratch / "script"
        scratch, search_path = str(self._scratch), self._scripts.search_path
        if guest:
            bash, scratch, search_path = guest.program("bash", search_path), guest.scratch, guest.search_path
        task = session.Task(
            [bash, "-e", "-o", "pipefail", f"{scratch}/script"],
            {"PATH": search_path, "TMPDIR": scratch},
            str(self._root),
            str(result),
            self._scripts.time_limit or 0,
            bool(fakeroot),
            list(guest.proot) if guest else [],
            list(guest.shown) if guest else [],
        )
        try:
            # A file, for no argument may be as long as a script.
            _put(file, script.encode("utf-8", "surrogateescape"))
            _put(self._task, json.dumps(task._asdict()).encode())
            result.unlink(missing_ok=True)
            printed = (self.workspace.path / "output").open("w+b")
        except OSError as error:
            raise _unwritable(error) from error
        # Else it tries it for real too, and passes on the refusal that IDs get which a user namespace has not.
        settings = {"FAKEROOTDONTTRYCHOWN": "1"} if fakeroot else {}
        with printed:
            program = [_python(), "-I", "-S", "-B", session.__file__, str(self._task)]
            _session([*fakeroot, *program], self._root, {"PATH": self._scripts.search_path, **settings}, printed)
            printed.seek(max(0, printed.seek(0, os.SEEK_END) - _OUTPUT_LIMIT))
            output = printed.read().decode("utf-8", "replace")
        self.output += output
        self._entries = _listed(what, result, self._scripts.time_limit, output)
        with contextlib.suppress(OSError):  # the script may have done what it liked with it
            file.unlink()

    def _program(self, name: str, what: str) -> str:
        found = shutil.which(name, path=self._scripts.search_path)
        if not found:
            raise ScriptError(f"{what}: got no {name}, expected one on PATH", hint=f"install {name}")
        return os.path.abspath(found)


def _python() -> str:
    """The Python that runs, also where it was started without saying from where, as Nix does."""
    return sys.executable or os.path.realpath("/proc/self/exe")


def _session(command: list[str], root: Path, settings: dict[str, str], output: IO[bytes]) -> None:
    """Starts the session and waits for it; where that is cut short, the session is told by its stdin, which ends."""
    environment = {
        "HOME": "/homeless-shelter",
        "LC_ALL": "C",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH),
        **settings,
    }
    process = subprocess.Popen(
        command,
        cwd=root,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        umask=_UMASK,
        process_group=0,
    )
    try:
        process.wait()
    finally:
        if process.stdin:
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _listed(what: str, result: Path, limit: float | None, output: str) -> dict[bytes, session.Entry]:
    """The entries that the session found; raises `ScriptError` where the script did not end well."""
    try:
        document = json.loads(result.read_text())
    except (OSError, ValueError) as error:
        raise ScriptError(f"{what}: got no answer of their session, expected one", output=output) from error
    status = document["status"]
    if status is None:
        raise ScriptError(
            f"{what}: got no end within {limit:g} s, expected one", hint="--time-limit says how long", output=output
        )
    if status:
        how = f"exit status {status}" if status > 0 else f"signal {-status}"
        raise ScriptError(f"{what}: got {how}, expected 0", output=output)
    return {bytes.fromhex(path): session.Entry(path, *rest) for path, *rest in document["entries"]}


def _meta(node: Node, entry: session.Entry) -> Meta:
    """What the session saw; raises `FormatError` where that is a device that only it can see as one."""
    kinds = {Directory: stat.S_IFDIR, Regular: stat.S_IFREG, Symlink: stat.S_IFLNK}
    if stat.S_IFMT(entry.mode) != kinds[type(node)]:
        name = node.path.decode("utf-8", "backslashreplace")
        raise FormatError(f"/{name}: got {kind(entry.mode)}, expected a file, a folder or a symlink")
    for attribute in entry.xattrs:
        if "=" in attribute:
            name = node.path.decode("utf-8", "backslashreplace")
            raise FormatError(
                f"/{name}: got an extended attribute {shown(attribute)}, expected none with '=' in its name"
            )
    xattrs = tuple((name, bytes.fromhex(value)) for name, value in sorted(entry.xattrs.items()))
    return Meta(stat.S_IMODE(entry.mode), entry.uid, entry.gid, xattrs)


def _write(tree: Tree, root: Path) -> None:
    for node, meta in tree:
        target = os.path.join(os.fsencode(root), node.path) if node.path else os.fsencode(root)
        match node:
            case Directory():
                os.mkdir(target)
                os.chmod(target, meta.mode)
            case Symlink():
                os.symlink(node.target, target)
            case Regular(content=bytes(content)):
                with open(target, "xb") as file:
                    file.write(content)
                os.chmod(target, meta.mode)
            case Regular():
                raise FormatError(f"{os.fsdecode(node.path)}: got a file, expected links and folders alone")


def _put(file: Path, content: bytes) -> None:
    """A file that we may read, whatever the umask."""
    file.touch()
    file.chmod(0o600)
    file.write_bytes(content)


def _unwritable(error: OSError) -> OutputError:
    place = error.filename or "temporary folder"
    return OutputError(f"{place}: got {error.strerror}, expected to write the root there")
