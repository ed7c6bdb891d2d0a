"""Run extra commands and fakeroot commands: bash scripts that change the image's root, in a sandbox.

A script starts with the same tree, environment and umask in every run. The returned tree contains all files that it
left, with the owners, modes and extended attributes that it set within its session.

The order is that of nixpkgs' dockerTools. Extra commands run first, as an ordinary user; afterwards root owns all
files. Fakeroot commands run next, in a fakeroot session where ``chown`` and similar programs work. With ``chroot``,
they see the root as ``/``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lamina.core.nodes import Directory, Node, Regular, Symlink
from lamina.errors import FormatError, IntegrityError, OutputError, ScriptError, StoreError
from lamina.formats.json_toml import parse_json
from lamina.messages.redaction import short_repr
from lamina.messages.shortages import find_errno
from lamina.rootfs import permissions, resource_limits, sandbox, session_programs, session_runner
from lamina.rootfs.proot import ProotRoot
from lamina.rootfs.session.protocol import ScriptEntry, ScriptTask
from lamina.rootfs.session_runner import SessionEnd
from lamina.rootfs.tree import Meta, Tree
from lamina.system.tempdir import TempDir
from lamina.system.walk import file_type_name, walk_with_modes

SOURCE_DATE_EPOCH = 315532800
_OUTPUT_LIMIT = 1 << 16
_EXTRA_LABEL = "extra commands"
_FAKEROOT_LABEL = "fakeroot commands"
# Modes, user IDs and group IDs have 32 bits.
_NUMBER_LIMIT = 1 << 32


@dataclass(frozen=True, slots=True)
class Scripts:
    """The scripts to run, and how to run them.

    Attributes:
        extra: The extra commands, which run first. Empty for none.
        fake_root: The fakeroot commands. Empty for none.
        chroot: Whether the fakeroot commands see the image's root as ``/``.
        search_path: The PATH for finding programs.
        time_limit: The maximum time of each script in seconds; None for no limit.
        confined: Whether the scripts run in a sandbox.
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
class ScriptResult:
    """The tree and output of the scripts, the folder that contains the files, warnings, and the sandbox's name."""

    tree: Tree
    output: str
    workspace: TempDir
    warnings: tuple[str, ...]
    sandbox: str


def run_scripts(tree: Tree, scripts: Scripts) -> ScriptResult:
    """Run the scripts with bash (errexit, pipefail) in a folder that holds ``tree``; end processes that they leave.

    Files of the returned tree are in the workspace, which is removed once nothing refers to it.

    Raises:
        ScriptError: A script fails, takes too long or needs a program that is not on the search path, or no sandbox
            works on this machine. The hint includes the warnings about the sandbox.
        FormatError: A script left a socket, device or pipe.
        OutputError: The temporary folder cannot be written, or this process may not open enough files.
    """
    runner = _Runner(scripts, tree)
    try:
        if scripts.extra:
            runner.run(_EXTRA_LABEL, scripts.extra, is_fakeroot=False)
        if scripts.fake_root:
            runner.run(_FAKEROOT_LABEL, scripts.fake_root, is_fakeroot=True)
        tree = runner.read_tree()
        return ScriptResult(tree, runner.output, runner.workspace, runner.warnings, runner.sandbox_name)
    except ScriptError as error:
        for warning in runner.warnings:  # it may explain why the script failed
            error.add_hint(warning)
        raise


class _Runner:
    """Runs the scripts one after the other on the same folder."""

    def __init__(self, scripts: Scripts, tree: Tree) -> None:
        self._scripts = scripts
        self._entries: dict[bytes, ScriptEntry] = {}
        self.output = ""
        self.warnings: tuple[str, ...] = ()
        if scripts:
            resource_limits.check_descriptors()
        try:
            self.workspace = TempDir()
        except OSError as error:
            raise _make_output_error(error, None) from error
        try:
            self._folders = sandbox.SessionFolders.of(self.workspace.path)
            self._folders.build.mkdir()
            if scripts:
                self._folders.make()
            _write_tree(tree, self._folders.root)
        except OSError as error:
            raise _make_output_error(error, self.workspace.path) from error

    def read_tree(self) -> Tree:
        """Return the tree that the last script left."""
        label = _FAKEROOT_LABEL if self._scripts.fake_root else _EXTRA_LABEL
        root = self._folders.root
        if not _is_folder(root):
            raise ScriptError(label, "a removed root folder", "the folder in which the script started")
        if self._scripts and os.geteuid() != 0:
            permissions.make_readable(os.fsencode(root))
        tree = Tree()
        try:
            for node, mode in walk_with_modes(os.fsencode(root)):
                entry = self._entries.get(node.path)
                tree.put(node, _make_meta(node, entry) if entry else Meta(mode))
        except (StoreError, IntegrityError) as error:  # `walk_with_modes` raises errors meant for store paths
            raise ScriptError(f"{label}: left {error.subject}", error.got, error.expected) from error
        return tree

    def run(self, label: str, script: str, *, is_fakeroot: bool) -> None:
        """Run ``script`` and keep the list of its files, which root owns unless the session is a fakeroot one."""
        result, output = self._run_session(label, script, is_fakeroot)
        self.output += output
        entries = self._parse_result(label, result, output)
        self._entries = (
            entries if is_fakeroot else {path: entry._replace(uid=0, gid=0) for path, entry in entries.items()}
        )
        with contextlib.suppress(OSError):  # the script may have changed or removed it
            (self._folders.scratch / "script").unlink()

    def _run_session(self, label: str, script: str, is_fakeroot: bool) -> tuple[session_runner.SessionResult, str]:
        """Run the session of ``script``; return its result and the end of its output."""
        bash = self._find_program("bash", label)
        fakeroot = [self._find_program("fakeroot", label), "--"] if is_fakeroot else []
        proot = self._find_program("proot", label) if is_fakeroot and self._scripts.chroot else ""
        search_path, chosen_sandbox = self._scripts.search_path, self._sandbox
        self.warnings = (chosen_sandbox.warning,) if chosen_sandbox.warning else ()
        session_paths = chosen_sandbox.session_paths(self._folders)
        proot_root = (
            ProotRoot.of(proot, session_paths.root, search_path, session_paths.scratch, session_paths.system)
            if proot
            else None
        )
        if proot and not chosen_sandbox.has_writable_tmp:
            _check_proot(label, proot)
        if proot_root:
            _check_binds(label, session_paths.scratch, proot_root.visible_folders)
        if proot_root and not self._scripts.confined:
            chosen_sandbox = sandbox.Unconfined(proot_root.visible_folders)
        try:
            reader, writer = session_runner.open_pipe()
        except OSError as error:
            raise resource_limits.make_shortage_error(label, error.errno) or _make_output_error(
                error, self.workspace.path
            ) from error
        modes = permissions.read_modes(self._folders.folders_to_restore)
        try:
            self._write_task(
                chosen_sandbox.owner,
                script,
                _make_task(bash, session_paths, proot_root, search_path, writer.fileno(), is_fakeroot=is_fakeroot),
            )
            command = [
                *fakeroot,
                *session_programs.build_start_command("script", session_paths.session, f"{session_paths.session}/task"),
            ]
            command = chosen_sandbox.command(self._folders, search_path, command, as_root=is_fakeroot)
            environment = self._make_environment(session_paths, is_fakeroot=is_fakeroot, chroot=bool(proot))
            session = session_runner.Session(command, writer, environment)
            with (self.workspace.path / "output").open("w+b") as output_file:
                result = session_runner.run_session(session, reader, output_file, self._scripts.time_limit)
                output_file.seek(max(0, output_file.seek(0, os.SEEK_END) - _OUTPUT_LIMIT))
                return result, output_file.read().decode("utf-8", "replace")
        except OSError as error:
            raise resource_limits.make_shortage_error(label, error.errno) or _make_output_error(
                error, self.workspace.path
            ) from error
        finally:
            permissions.restore_modes(modes)
            reader.close()
            writer.close()

    def _find_program(self, name: str, label: str) -> str:
        program = shutil.which(name, path=self._scripts.search_path)
        if not program:
            raise ScriptError(label, f"no {name} on PATH", "one", hint=f"install {name}")
        return os.path.abspath(program)

    @property
    def sandbox_name(self) -> str:
        """The name of the sandbox, or an empty string if no script runs."""
        return self._sandbox.name if self._scripts.extra or self._scripts.fake_root else ""

    @cached_property
    def _sandbox(self) -> sandbox.Sandbox:
        """The sandbox, which is chosen for the first script."""
        if not self._scripts.confined:
            return sandbox.Unconfined()
        label = _EXTRA_LABEL if self._scripts.extra else _FAKEROOT_LABEL
        return sandbox.find_sandbox(label, self._folders, self._scripts.search_path)

    def _write_task(self, owner: int | None, script: str, task: ScriptTask) -> None:
        """Write the files of the script and the task for the session; raise `OSError` if that fails."""
        # The script is passed in a file because the kernel limits the length of arguments.
        _write_private_file(self._folders.scratch / "script", script.encode("utf-8", "surrogateescape"), owner)
        _write_private_file(self._folders.session / "task", json.dumps(task._asdict()).encode(), owner)

    def _make_environment(
        self, session_paths: sandbox.SessionPaths, *, is_fakeroot: bool, chroot: bool
    ) -> Mapping[str, str]:
        return {
            "HOME": "/homeless-shelter",
            "LC_ALL": "C",
            "PATH": self._scripts.search_path,
            "SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH),
            "TZ": "UTC",
            # Without this, fakeroot also makes the real call, which fails for IDs that the user namespace does not map.
            **({"FAKEROOTDONTTRYCHOWN": "1"} if is_fakeroot else {}),
            **({"PROOT_TMP_DIR": session_paths.proot} if chroot else {}),
        }

    def _parse_result(self, label: str, result: session_runner.SessionResult, output: str) -> dict[bytes, ScriptEntry]:
        """Return the entries that the session listed; raise an error if the script or its session failed."""
        if result.end is SessionEnd.TIMED_OUT:
            limit, hint = self._scripts.time_limit or 0, "allow more time with --time-limit"
            raise ScriptError(label, f"no end within {limit:g} s", "one", hint=hint, output=output)
        if result.end is SessionEnd.STOPPED:
            raise ScriptError(label, "a session that was stopped", "a session that runs to its end", output=output)
        document = _parse_json(result.text)
        status, entries = document.get("status"), _parse_entries(document.get("entries"))
        if type(status) is not int or abs(status) >= _NUMBER_LIMIT or entries is None:
            raise self._make_session_error(label, document, output)
        if status:
            how = f"exit status {status}" if status > 0 else f"signal {-status}"
            hint = resource_limits.find_failure_hint(self.workspace.path, output)
            raise ScriptError(label, how, "0", hint=hint, output=output)
        return entries

    def _make_session_error(self, label: str, document: dict[str, Any], output: str) -> OutputError | ScriptError:
        """Return the error for a session that gave no valid result, which names a shortage if that was the cause."""
        error = document.get("error")
        message = error if isinstance(error, str) else ""  # a script can forge it
        numbers = (
            document.get("errno"),
            resource_limits.probe_write(self.workspace.path),
            find_errno(f"{message}\n{output}"),
        )
        shortage = next(filter(None, (resource_limits.make_shortage_error(label, number) for number in numbers)), None)
        reason = short_repr(message) if message else "no result of their session"
        return shortage or ScriptError(label, reason, "one", output=output)


def _make_task(
    bash: str,
    session_paths: sandbox.SessionPaths,
    proot_root: ProotRoot | None,
    search_path: str,
    writer: int,
    *,
    is_fakeroot: bool,
) -> ScriptTask:
    scratch, path = session_paths.scratch, search_path
    if proot_root:
        bash, scratch, path = proot_root.find_program("bash", search_path), proot_root.scratch, proot_root.search_path
    return ScriptTask(
        [bash, "-e", "-o", "pipefail", f"{scratch}/script"],
        {"PATH": path, "TMPDIR": scratch},
        session_paths.root,
        writer,
        is_fakeroot,
        list(proot_root.proot) if proot_root else [],
    )


def _check_binds(label: str, scratch: str, visible_folders: tuple[str, ...]) -> None:
    """Raise `ScriptError` for a folder with a colon in its path, which proot cannot bind.

    proot splits the value of ``--bind`` at the first colon, and a colon cannot be quoted.
    """
    for path, hint in ((scratch, "TMPDIR names another"), *((path, "PATH leads to it") for path in visible_folders)):
        if ":" in path:
            raise ScriptError(label, f"the folder {short_repr(path)}", "a path without ':' for proot", hint=hint)


def _check_proot(label: str, proot: str) -> None:
    """Raise `ScriptError` for a proot that can only use ``/tmp``, because this sandbox does not allow that."""
    if b"PROOT_TMP_DIR" not in Path(proot).read_bytes():
        hint = "install bubblewrap, or a newer proot; --no-sandbox runs the scripts unconfined"
        raise ScriptError(label, "a proot that works only in /tmp", "one that runs under Landlock", hint=hint)


def _parse_json(text: bytes) -> dict[str, Any]:
    """Return the session's result, an empty one if it is missing or invalid."""
    with contextlib.suppress(FormatError):
        document = parse_json(text, "session")
        if isinstance(document, dict):
            return document
    return {}


def _parse_entries(raw_entries: object) -> dict[bytes, ScriptEntry] | None:
    """Return the entries that a session listed, by path; None if they are invalid, because a script can forge them."""
    try:
        entries = [ScriptEntry(*item) for item in raw_entries] if isinstance(raw_entries, list) else None
        if entries is None or not all(map(_is_valid, entries)):
            return None
        return {bytes.fromhex(entry.path): entry for entry in entries}
    except (TypeError, ValueError, AttributeError):
        return None


def _is_valid(entry: ScriptEntry) -> bool:
    numbers = (entry.mode, entry.uid, entry.gid)
    for name, value in entry.xattrs.items():
        # Names in a file system are bytes. Bytes that are not UTF-8 are represented as surrogates.
        if not name or b"\0" in name.encode("utf-8", "surrogateescape"):
            return False
        bytes.fromhex(value)
    return all(type(number) is int and 0 <= number < _NUMBER_LIMIT for number in numbers)


def _make_meta(node: Node, entry: ScriptEntry) -> Meta:
    """Return mode, owner and attributes as the session listed them.

    Raises:
        FormatError: The session lists another kind of file than this process sees, such as a device that fakeroot
            pretends to have made, or an extended attribute whose name has a '='.
    """
    kinds = {Directory: stat.S_IFDIR, Regular: stat.S_IFREG, Symlink: stat.S_IFLNK}
    if stat.S_IFMT(entry.mode) != kinds[type(node)]:
        name = node.path.decode("utf-8", "backslashreplace")
        raise FormatError(f"/{name}", file_type_name(entry.mode), "a file, a folder or a symlink")
    for attribute in entry.xattrs:
        if "=" in attribute:
            name = node.path.decode("utf-8", "backslashreplace")
            raise FormatError(f"/{name}", f"an extended attribute {short_repr(attribute)}", "a name without '='")
    xattrs = tuple((name, bytes.fromhex(value)) for name, value in sorted(entry.xattrs.items()))
    return Meta(stat.S_IMODE(entry.mode), entry.uid, entry.gid, xattrs)


def _write_tree(tree: Tree, root: Path) -> None:
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
                raise FormatError(os.fsdecode(node.path), "a file", "only links and folders")


def _is_folder(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISDIR(path.lstat().st_mode)
    return False


def _write_private_file(file: Path, content: bytes, owner: int | None) -> None:
    """Write a file that only ``owner`` can read, or this user if it is None, regardless of the umask."""
    if _is_folder(file):  # an earlier script may have left a folder at this path
        permissions.make_readable(os.fsencode(file))
        shutil.rmtree(file)
    file.unlink(missing_ok=True)
    file.touch()
    file.chmod(0o600)
    file.write_bytes(content)
    if owner is not None:
        os.chown(file, owner, owner)


def _make_output_error(error: OSError, workspace: Path | None) -> OutputError:
    """Return the error for a failed write to ``workspace``, which is None if it could not be created.

    If the error names two files, the first is the source of a copy, so the second is the file that was written.
    """
    path = (not error.filename2 and error.filename) or workspace or "temporary folder"
    return OutputError(path, error, "to write the root there", hint=resource_limits.find_hint(error.errno))
