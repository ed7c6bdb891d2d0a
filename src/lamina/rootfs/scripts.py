"""Extra commands and fakeroot commands: bash scripts run over the root, in a sandbox.

A script starts from the same tree, environment and umask every time, and all that it leaves is in the tree that comes
back, with the owners, modes and extended attributes that it gave within its own session.

In this order (nixpkgs: dockerTools): extra commands as an ordinary user, all of it owned by root afterwards; then
fakeroot commands in a fakeroot session, where ``chown`` and the like work; with ``chroot`` they see the root as ``/``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamina.core.nodes import Directory, Node, Regular, Symlink
from lamina.errors import FormatError, IntegrityError, OutputError, ScriptError, StoreError, shown
from lamina.messages.shortages import named_in
from lamina.rootfs import limits, permissions, programs, running, sandbox
from lamina.rootfs.proot import Guest
from lamina.rootfs.running import End
from lamina.rootfs.session.documents import Entry, Task
from lamina.rootfs.tree import Meta, Tree
from lamina.system.tempdir import Workspace
from lamina.system.walk import kind, scan

SOURCE_DATE_EPOCH = 315532800
_OUTPUT_LIMIT = 1 << 16
_EXTRA = "extra commands"
_FAKE_ROOT = "fakeroot commands"
# Modes, users and groups are numbers of 32 bits.
_NO_NUMBER = 1 << 32


@dataclass(frozen=True, slots=True)
class Scripts:
    """What is to be run: ``extra``, then ``fake_root``, the latter with the root as ``/`` where ``chroot`` says so.

    Attributes:
        search_path: Where programs are looked for.
        time_limit: Seconds that each may take, None for any time.
        confined: Whether they run in a sandbox.
    """

    extra: str = ""
    fake_root: str = ""
    chroot: bool = False
    search_path: str = os.defpath
    time_limit: float | None = None
    confined: bool = True

    def __bool__(self) -> bool:
        return bool(self.extra or self.fake_root)


@dataclass(frozen=True, slots=True)
class Ran:
    """The tree that the scripts left, what they printed, the folder that holds the tree's files, and warnings."""

    tree: Tree
    output: str
    workspace: Workspace
    warnings: tuple[str, ...]


def run(tree: Tree, scripts: Scripts) -> Ran:
    """Run the scripts with bash (errexit, pipefail) in a folder that holds ``tree``; end what they leave running.

    The tree that comes back refers to files in the workspace, which is removed when nothing refers to it any more.

    Raises:
        ScriptError: A script fails, takes too long, needs a program that is not on the search path, or there is no
            sandbox to run it in. The hint has the warnings about the sandbox.
        FormatError: A script left a socket, device or pipe.
        OutputError: The temporary folder cannot be written, or this process may not open enough files.
    """
    runner = _Runner(scripts, tree)
    try:
        if scripts.extra:
            runner.run(_EXTRA, scripts.extra, fake=False)
        if scripts.fake_root:
            runner.run(_FAKE_ROOT, scripts.fake_root, fake=True)
        return Ran(runner.tree(), runner.output, runner.workspace, runner.warnings())
    except ScriptError as error:
        for warning in runner.warnings():  # what it says may be why the script failed
            error.add_hint(warning)
        raise


class _Runner:
    """Runs one script after the other over the same folder."""

    def __init__(self, scripts: Scripts, tree: Tree) -> None:
        self._scripts = scripts
        self._entries: dict[bytes, Entry] = {}
        self.output = ""
        self._confined: sandbox.Sandbox | None = None
        if scripts:
            limits.check_descriptors()
        try:
            self.workspace = Workspace()
        except OSError as error:
            raise _unwritable(error, None) from error
        try:
            self._folders = sandbox.Folders(self.workspace.path)
            self._folders.build.mkdir()
            if scripts:
                self._folders.make()
            _write(tree, self._folders.root)
        except OSError as error:
            raise _unwritable(error, self.workspace.path) from error

    def tree(self) -> Tree:
        """Return what the last script left."""
        what = _FAKE_ROOT if self._scripts.fake_root else _EXTRA
        root = self._folders.root
        if not _is_folder(root):
            raise ScriptError(f"{what}: got no folder where they began, expected the root there")
        if self._scripts and os.geteuid() != 0:
            permissions.make_readable(os.fsencode(root))
        tree = Tree()
        try:
            for node, mode in scan(os.fsencode(root)):
                entry = self._entries.get(node.path)
                tree.put(node, _meta(node, entry) if entry else Meta(mode))
        except (StoreError, IntegrityError) as error:  # `scan` is made for store paths
            raise ScriptError(f"{what}: left {error}") from error
        return tree

    def run(self, what: str, script: str, *, fake: bool) -> None:
        """Run ``script`` and remember what it left, which belongs to root unless the session is a fakeroot one."""
        answer, output = self._answer(what, script, fake)
        self.output += output
        entries = self._listed(what, answer, output)
        self._entries = entries if fake else {path: entry._replace(uid=0, gid=0) for path, entry in entries.items()}
        with contextlib.suppress(OSError):  # the script may have done what it liked with it
            (self._folders.scratch / "script").unlink()

    def _answer(self, what: str, script: str, fake: bool) -> tuple[running.Answer, str]:
        """Run the session of ``script``; return its answer and the end of what it printed."""
        bash = self._program("bash", what)
        fakeroot = [self._program("fakeroot", what), "--"] if fake else []
        proot = self._program("proot", what) if fake and self._scripts.chroot else ""
        search_path, confined = self._scripts.search_path, self._sandbox(what)
        places = confined.places(self._folders)
        guest = Guest.of(proot, places.root, search_path, places.scratch, places.system) if proot else None
        if proot and not confined.has_writable_tmp:
            _check_proot(what, proot)
        if guest:
            _check_binds(what, places.scratch, guest.shown)
        if guest and not self._scripts.confined:
            confined = sandbox.Unconfined(guest.shown)
        try:
            reader, writer = running.pipe()
        except OSError as error:
            raise limits.failure(what, error.errno) or _unwritable(error, self.workspace.path) from error
        modes = permissions.modes(self._folders.opened)
        try:
            self._put(confined.owner, script, _task(bash, places, guest, search_path, writer.fileno(), fake=fake))
            command = [*fakeroot, *programs.start("script", places.session, f"{places.session}/task")]
            command = confined.command(self._folders, search_path, command, as_root=fake)
            environment = self._environment(places, fake=fake, chroot=bool(proot))
            session = running.Session(command, writer, environment)
            with (self.workspace.path / "output").open("w+b") as printed:
                answer = running.run(session, reader, printed, self._scripts.time_limit)
                printed.seek(max(0, printed.seek(0, os.SEEK_END) - _OUTPUT_LIMIT))
                return answer, printed.read().decode("utf-8", "replace")
        except OSError as error:
            raise limits.failure(what, error.errno) or _unwritable(error, self.workspace.path) from error
        finally:
            permissions.restore(modes)
            reader.close()
            writer.close()

    def _program(self, name: str, what: str) -> str:
        found = shutil.which(name, path=self._scripts.search_path)
        if not found:
            raise ScriptError(f"{what}: got no {name}, expected one on PATH", hint=f"install {name}")
        return os.path.abspath(found)

    def warnings(self) -> tuple[str, ...]:
        """Return what has to be said of the sandbox."""
        return (self._confined.warning,) if self._confined and self._confined.warning else ()

    def _sandbox(self, what: str) -> sandbox.Sandbox:
        """Return the sandbox, which is looked for once."""
        if not self._confined:
            wanted = self._scripts.confined
            found = sandbox.find(what, self._folders, self._scripts.search_path) if wanted else sandbox.Unconfined()
            self._confined = found
        return self._confined

    def _put(self, owner: int | None, script: str, task: Task) -> None:
        """Write the script and the task where the session finds them. Raises `OSError`."""
        # A file, because no argument may be as long as a script.
        _put_file(self._folders.scratch / "script", script.encode("utf-8", "surrogateescape"), owner)
        _put_file(self._folders.session / "task", json.dumps(task._asdict()).encode(), owner)

    def _environment(self, places: sandbox.Places, *, fake: bool, chroot: bool) -> Mapping[str, str]:
        return {
            "HOME": "/homeless-shelter",
            "LC_ALL": "C",
            "PATH": self._scripts.search_path,
            "SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH),
            "TZ": "UTC",
            # Else fakeroot tries it for real too, and passes on the refusal of IDs that a user namespace does not have.
            **({"FAKEROOTDONTTRYCHOWN": "1"} if fake else {}),
            **({"PROOT_TMP_DIR": places.proot} if chroot else {}),
        }

    def _listed(self, what: str, answer: running.Answer, output: str) -> dict[bytes, Entry]:
        """Return the entries that the session found; raise `ScriptError` where the script did not end well."""
        if answer.end is End.LATE:
            limit, hint = self._scripts.time_limit or 0, "--time-limit says how long"
            raise ScriptError(f"{what}: got no end within {limit:g} s, expected one", hint=hint, output=output)
        if answer.end is End.STUCK:
            raise ScriptError(f"{what}: got a session that was stopped, expected it to go on", output=output)
        document = _parsed(answer.text)
        status, entries = document.get("status"), _entries(document.get("entries"))
        if type(status) is not int or abs(status) >= _NO_NUMBER or entries is None:
            raise self._unanswered(what, document, output)
        if status:
            how = f"exit status {status}" if status > 0 else f"signal {-status}"
            hint = limits.advice(self.workspace.path, output)
            raise ScriptError(f"{what}: got {how}, expected 0", hint=hint, output=output)
        return entries

    def _unanswered(self, what: str, document: dict[str, Any], output: str) -> OutputError | ScriptError:
        """Return the error for a session that ended early: what this machine did not give it, where that is known."""
        error = document.get("error")
        said = error if isinstance(error, str) else ""  # a script can forge it
        found = (
            document.get("errno"),
            limits.shortage(self.workspace.path),
            named_in(f"{said}\n{output}"),
        )
        lacking = next(filter(None, (limits.failure(what, each) for each in found)), None)
        reason = shown(said) if said else "no answer of their session"
        return lacking or ScriptError(f"{what}: got {reason}, expected one", output=output)


def _task(bash: str, places: sandbox.Places, guest: Guest | None, search_path: str, writer: int, *, fake: bool) -> Task:
    scratch, path = places.scratch, search_path
    if guest:
        bash, scratch, path = guest.program("bash", search_path), guest.scratch, guest.search_path
    return Task(
        [bash, "-e", "-o", "pipefail", f"{scratch}/script"],
        {"PATH": path, "TMPDIR": scratch},
        places.root,
        writer,
        fake,
        list(guest.proot) if guest else [],
    )


def _check_binds(what: str, scratch: str, shown_folders: tuple[str, ...]) -> None:
    """Raise `ScriptError` where proot would take a part of a folder's name for a place in its root.

    proot splits the value of --bind at its first colon, and knows no way to quote one.
    """
    for place, hint in ((scratch, "TMPDIR names another"), *((place, "PATH leads to it") for place in shown_folders)):
        if ":" in place:
            raise ScriptError(f"{what}: got the folder {shown(place)}, expected one without ':' for proot", hint=hint)


def _check_proot(what: str, proot: str) -> None:
    """Raise `ScriptError` for a proot that needs ``/tmp``, which this sandbox does not let it write to."""
    if b"PROOT_TMP_DIR" not in Path(proot).read_bytes():
        hint = "install bubblewrap, or a newer proot; --no-sandbox runs the scripts unconfined"
        raise ScriptError(
            f"{what}: got a proot that works in /tmp alone, expected one to run under Landlock", hint=hint
        )


def _parsed(text: bytes) -> dict[str, Any]:
    """Return the session's answer; empty where it gave none."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _entries(listed: object) -> dict[bytes, Entry] | None:
    """Return the entries that a session listed by their paths; None where they are none, as a script can forge them."""
    try:
        entries = [Entry(*item) for item in listed] if isinstance(listed, list) else None
        if entries is None or not all(map(_is_sound, entries)):
            return None
        return {bytes.fromhex(entry.path): entry for entry in entries}
    except (TypeError, ValueError, AttributeError):
        return None


def _is_sound(entry: Entry) -> bool:
    numbers = (entry.mode, entry.uid, entry.gid)
    for name, value in entry.xattrs.items():
        # A file system gives names of bytes, which travel as surrogates where they are no UTF-8.
        if not name or b"\0" in name.encode("utf-8", "surrogateescape"):
            return False
        bytes.fromhex(value)
    return all(type(number) is int and 0 <= number < _NO_NUMBER for number in numbers)


def _meta(node: Node, entry: Entry) -> Meta:
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


def _is_folder(place: Path) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISDIR(place.lstat().st_mode)
    return False


def _put_file(file: Path, content: bytes, owner: int | None) -> None:
    """Write a file that only ``owner`` can read, this user where it is None, whatever the umask."""
    if _is_folder(file):  # as an earlier script may have left it
        permissions.make_readable(os.fsencode(file))
        shutil.rmtree(file)
    file.unlink(missing_ok=True)
    file.touch()
    file.chmod(0o600)
    file.write_bytes(content)
    if owner is not None:
        os.chown(file, owner, owner)


def _unwritable(error: OSError, workspace: Path | None) -> OutputError:
    """Return the error for what could not be written to ``workspace``, None where there is none yet.

    The first name in an error of two files is that of a file which was copied, not of the one to be written.
    """
    place = (not error.filename2 and error.filename) or workspace or "temporary folder"
    return OutputError(
        f"{place}: got {error.strerror}, expected to write the root there", hint=limits.hint(error.errno)
    )
