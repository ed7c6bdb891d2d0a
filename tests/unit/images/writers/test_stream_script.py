"""A stream script writes the bytes of `lamina stream`, wherever this Python and the store paths are."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.examples import mark_rest
from tests.support.fake_nix_store import FakeStore, call, example, run, write_graph

import lamina
from lamina.errors import InvalidArgument, OutputError
from lamina.stores import open as opening
from lamina.stores.local.database import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


def stream(store: FakeStore, /, **arguments: Any) -> lamina.Stream:
    return lamina.stream_layered_image(**{"store": str(store.root), "contents": ["hello"], **arguments})


def read_stream(made: lamina.Stream) -> bytes:
    out = io.BytesIO()
    made.write_to(out)
    return out.getvalue()


def start(script: Path | str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run the script as a user without HOME and PATH."""
    options = {"env": {}, "cwd": "/", **options}
    return subprocess.run([script, *arguments], check=False, capture_output=True, timeout=240, **options)


def tags(archive: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        manifest = tar.extractfile("manifest.json")
        assert manifest
        (entry,) = json.load(manifest)
        return list(entry["RepoTags"])


# The same bytes

ARGUMENTS: Sequence[dict[str, Any]] = [
    {},
    {"config": {"Cmd": ["/bin/hello"], "Env": ["A=é"]}, "tag": "1", "name": "other/name"},
    {"extra_commands": "mkdir etc; head -c 3000000 /dev/zero | tr '\\0' x > etc/large; chmod 4755 etc/large"},
    {"uid": 1000, "gid": 3_000_000, "uname": "é", "gname": "g", "mtime": "2020-01-01", "created": "2021-01-01"},
    {"max_layers": 3, "layering": "popularity", "architecture": "riscv64"},
    {"include_store_paths": False},
    {"created": "now", "mtime": "now"},
    {"tree": [lamina.Dir("/tmp", 0o1777), lamina.Perm("/", 0o700, 5, 6), lamina.File("/f", __file__)]},
]


@pytest.mark.parametrize("arguments", mark_rest(ARGUMENTS, 1), ids=" ".join)
def test_a_script_gives_the_bytes_of_the_stream(store: FakeStore, tmp_path: Path, arguments: dict[str, Any]) -> None:
    made = stream(store, **arguments)
    made.script(tmp_path / "script")
    done = start(tmp_path / "script")
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(read_stream(made)).digest()


@pytest.mark.integration
def test_worker_processes_help_a_script_with_a_large_image(store: FakeStore, tmp_path: Path) -> None:
    """A script does not record the sizes of its paths, so a dozen paths count as large and workers are started."""
    for number in range(12):
        store.add(f"part-{number}", {"data": bytes([number]) * 100_000})
    made = stream(store, contents=["hello", *(f"part-{number}" for number in range(12))])
    made.script(tmp_path / "script")
    ran = start(tmp_path / "script")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == read_stream(made)
    helper = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        "import sys; sys.path[:] = sys.argv[1:]; import lamina.layers.worker_tasks",
    ]
    modules = [str(tmp_path / "script"), *sys.path]
    subprocess.run([*helper, *modules], check=True)


@pytest.mark.integration
def test_a_script_says_what_nixpkgs_streamer_says(store: FakeStore, tmp_path: Path) -> None:
    stream(store, max_layers=2).script(tmp_path / "script")
    lines = start(tmp_path / "script").stderr.decode().splitlines()
    assert lines[0] == "No 'fromImage' provided"
    assert lines[1].startswith("Creating layer 1 from paths: ['/nix/store/")
    assert lines[2:] == ["Creating layer 2 with customisation...", "Adding manifests...", "Done."]


@pytest.mark.integration
def test_commands_are_not_run_again_and_their_workspace_is_not_needed(store: FakeStore, tmp_path: Path) -> None:
    count = tmp_path / "count"
    made = stream(store, extra_commands=f"echo x >> {count}; echo made > made", sandbox=False)
    made.script(tmp_path / "script")
    expected = read_stream(made)
    del made
    for _ in range(2):
        assert start(tmp_path / "script").stdout == expected
    assert count.read_text() == "x\n"


@pytest.mark.integration
def test_the_source_of_a_declared_file_is_not_needed_again(store: FakeStore, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 100_000)
    made = stream(store, tree=[lamina.File("/file", str(source))])
    expected = read_stream(made)
    made.script(tmp_path / "script")
    source.unlink()
    assert start(tmp_path / "script").stdout == expected


# The script's location


@pytest.mark.integration
def test_a_script_may_be_moved_copied_and_linked(store: FakeStore, tmp_path: Path) -> None:
    made = stream(store)
    expected = read_stream(made)
    folder = tmp_path / "a folder's $HOME"
    folder.mkdir()
    made.script(tmp_path / "script")
    moved = folder / "moved -t x"
    shutil.copy2(tmp_path / "script", moved)
    (tmp_path / "script").unlink()
    (tmp_path / "link").symlink_to(moved)
    for location in (moved, tmp_path / "link"):
        assert start(location).stdout == expected
    assert start("./moved -t x", cwd=folder).stdout == expected
    shell = subprocess.run(["/bin/sh", "moved -t x"], cwd=folder, check=True, capture_output=True, env={})
    assert shell.stdout == expected


def test_a_script_is_found_on_the_path(store: FakeStore, tmp_path: Path) -> None:
    made = stream(store)
    made.script(tmp_path / "stream-hello")
    environment = {"PATH": str(tmp_path)}
    done = subprocess.run(["/usr/bin/env", "stream-hello"], env=environment, check=True, capture_output=True, cwd="/")
    assert done.stdout == read_stream(made)


@pytest.mark.integration
def test_a_script_does_not_see_its_callers_python(store: FakeStore, tmp_path: Path) -> None:
    made = stream(store)
    made.script(tmp_path / "script")
    for name in ("lamina", "json", "zipfile"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(77)")
    environment = {"PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": "x", "PYTHONHASHSEED": "1", "LC_ALL": "C"}
    assert start(tmp_path / "script", env=environment, cwd=tmp_path).stdout == read_stream(made)


@pytest.mark.integration
def test_a_store_named_by_a_relative_folder_is_found_from_anywhere(
    store: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = stream(store, store="root")
    made.script("script")
    assert start(tmp_path / "script").stdout == read_stream(made)


@pytest.mark.integration
def test_a_store_behind_a_graph_is_enough_on_a_machine_without_one(
    store: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = write_graph(store, tmp_path / "graph.json")
    monkeypatch.setattr(opening, "MACHINE", tmp_path / "bare")
    made = stream(store, store=[str(graph), str(store.root)])
    made.script(tmp_path / "script")
    graph.unlink()
    done = start(tmp_path / "script")
    assert (done.returncode, done.stdout) == (0, read_stream(made)), done.stderr


@pytest.mark.integration
def test_the_machines_own_store_is_where_the_paths_are(
    store: FakeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "MACHINE", store.root)
    made = lamina.stream_layered_image(contents=["hello"])
    made.script(tmp_path / "script")
    assert start(tmp_path / "script").stdout == read_stream(made)


def test_a_store_that_is_not_a_folder_has_no_script(store: FakeStore, tmp_path: Path) -> None:
    made = stream(store, store=LocalStore(store.root))
    with pytest.raises(InvalidArgument, match="script: got a store object, expected folders on this machine"):
        made.script(tmp_path / "script")
    assert not (tmp_path / "script").exists()


# Another name


@pytest.mark.integration
def test_another_name_and_tag_change_nothing_else(store: FakeStore, tmp_path: Path) -> None:
    made = stream(store)
    made.script(tmp_path / "script")
    plain = start(tmp_path / "script").stdout
    for flag in ("-t", "--repo_tag"):
        named = start(tmp_path / "script", flag, "Host.example:5000/a/b:V1").stdout
        assert tags(named) == ["host.example:5000/a/b:V1"]
        assert len(named) == len(plain)
        assert named[: plain.index(b"manifest.json")] == plain[: plain.index(b"manifest.json")]
    assert tags(plain)[0].startswith("hello:")


@pytest.mark.parametrize("tag", mark_rest(["x", "", ":1", "x:/", "x:" + "t" * 129], 1))
def test_a_bad_name_is_an_error_before_a_byte_is_written(store: FakeStore, tmp_path: Path, tag: str) -> None:
    stream(store).script(tmp_path / "script")
    done = start(tmp_path / "script", f"--repo_tag={tag}")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Traceback" not in done.stderr
    assert done.stderr.startswith((b"lamina: image name: got ", b"lamina: tag: got "))


@pytest.mark.integration
@pytest.mark.parametrize("arguments", [["--no-such"], ["extra"], ["-t"]])
def test_other_arguments_are_usage_errors(store: FakeStore, tmp_path: Path, arguments: list[str]) -> None:
    stream(store).script(tmp_path / "script")
    done = start(tmp_path / "script", *arguments)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Traceback" not in done.stderr


@pytest.mark.integration
def test_a_script_has_help(store: FakeStore, tmp_path: Path) -> None:
    stream(store).script(tmp_path / "script")
    done = start(tmp_path / "script", "--help")
    assert done.returncode == 0
    assert b"-t NAME:TAG" in done.stdout


# Errors


def test_a_store_path_that_is_gone_is_an_error(store: FakeStore, tmp_path: Path) -> None:
    stream(store).script(tmp_path / "script")
    (words,) = LocalStore(store.root).find("words")
    shutil.rmtree(store.location(words))
    done = start(tmp_path / "script")
    assert done.returncode == 5
    assert f"{words.base}: got nothing there".encode() in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.integration
def test_a_store_that_is_gone_is_an_error(store: FakeStore, tmp_path: Path) -> None:
    stream(store).script(tmp_path / "script")
    store.root.rename(tmp_path / "elsewhere")
    done = start(tmp_path / "script")
    assert (done.returncode, done.stdout) == (5, b"")
    assert done.stderr.startswith(f"lamina: {store.root}: got no nix/store in it".encode())


@pytest.mark.integration
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_output_error(store: FakeStore, tmp_path: Path) -> None:
    stream(store).script(tmp_path / "script")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([tmp_path / "script"], check=False, stdout=full, stderr=subprocess.PIPE, env={})
    assert done.returncode == 10
    assert done.stderr.splitlines()[-1].startswith(b"lamina: stdout: got No space left on device")


@pytest.mark.integration
def test_a_closed_pipe_is_silent(store: FakeStore, tmp_path: Path) -> None:
    large = store.location(store.add("large-1", b""))
    large.chmod(0o644)
    os.truncate(large, 8 << 20)
    stream(store, contents=[], closure=["large"], name="x").script(tmp_path / "script")
    with subprocess.Popen([tmp_path / "script"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={}) as running:
        assert running.stdout
        assert len(running.stdout.read(100)) == 100
        running.stdout.close()
        assert running.wait(120) == 141
        assert running.stderr
        assert b"lamina" not in running.stderr.read()


@pytest.mark.integration
def test_an_interrupt_ends_it_quietly(store: FakeStore, tmp_path: Path) -> None:
    large = store.location(store.add("large-1", b""))
    large.chmod(0o644)
    os.truncate(large, 1 << 30)
    stream(store, contents=[], closure=["large"], name="x").script(tmp_path / "script")
    with subprocess.Popen([tmp_path / "script"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={}) as running:
        assert running.stdout
        assert len(running.stdout.read(100)) == 100
        running.send_signal(signal.SIGINT)
        _, stderr = running.communicate(timeout=120)
    assert running.returncode == 130
    assert stderr.splitlines()[-1] == b"lamina: interrupted"
    assert b"Traceback" not in stderr


@pytest.mark.integration
def test_a_terminal_is_refused(store: FakeStore, tmp_path: Path) -> None:
    stream(store).script(tmp_path / "script")
    leader, follower = pty.openpty()
    try:
        done = subprocess.run([tmp_path / "script"], check=False, stdout=follower, stderr=subprocess.PIPE, env={})
    finally:
        os.close(leader)
        os.close(follower)
    assert done.returncode == 2
    assert done.stderr.startswith(b"lamina: stdout: got a terminal, expected a pipe or a file")


# The file


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o755), (0o077, 0o700), (0o002, 0o775)])
def test_the_file_is_executable_as_the_umask_allows(store: FakeStore, tmp_path: Path, umask: int, mode: int) -> None:
    made = stream(store)
    old = os.umask(umask)
    try:
        made.script(tmp_path / "script")
    finally:
        os.umask(old)
    assert (tmp_path / "script").stat().st_mode & 0o7777 == mode


def test_the_file_is_the_same_every_time_and_a_zip_archive_behind_a_line(store: FakeStore, tmp_path: Path) -> None:
    for name in ("one", "two"):
        stream(store, extra_commands="echo hi > hi").script(tmp_path / name)
    one = (tmp_path / "one").read_bytes()
    assert one == (tmp_path / "two").read_bytes()
    assert one.startswith(b"#!/bin/sh\nexec ")
    with zipfile.ZipFile(tmp_path / "one") as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    assert names[0] == "__main__.py"
    assert {"draft.json", "layers/0.tar", "lamina/cli/run_script.py", "lamina/system/transfer.py"} <= set(names)
    assert not [name for name in names if "__pycache__" in name]


def test_a_script_that_cannot_be_written_leaves_nothing(store: FakeStore, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"missing/script: got No such file or directory"):
        stream(store).script(tmp_path / "missing/script")
    with pytest.raises(InvalidArgument, match="a folder, expected the name of a file"):
        stream(store).script(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["root"]


@pytest.mark.integration
def test_the_command_writes_the_file_and_prints_its_name(store: FakeStore, tmp_path: Path) -> None:
    flags = ("hello", "--store", store.root, "--tag", "1", "--cmd", "/bin/hello")
    ran = run("script", *flags, "-o", tmp_path / "script")
    assert (ran.code, ran.stdout.decode(), ran.stderr) == (0, f"{tmp_path}/script\n", "")
    assert start(tmp_path / "script").stdout == call("stream", *flags).stdout
    ran = run("script", *flags, "--json", "-o", tmp_path / "script")
    document = json.loads(ran.stdout)
    assert (document["file"], document["layer_count"]) == (f"{tmp_path}/script", 5)


def test_a_script_goes_to_a_file(store: FakeStore) -> None:
    ran = run("script", "hello", "--store", store.root, "-o", "-")
    assert (ran.code, ran.stdout) == (2, b"")
    assert ran.error == "output: got -, expected the name of a file"
