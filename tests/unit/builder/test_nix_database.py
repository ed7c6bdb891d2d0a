"""The Nix database in the root: complete in the end, and the same file that the scripts saw."""

from __future__ import annotations

import io
import sqlite3
import tarfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import FakeStore, example, run
from tests.support.image_files import docker_archive, tar

import lamina
from lamina.errors import FormatError
from lamina.rootfs import database
from lamina.rootfs.registration import Registration
from lamina.stores.local.database import LocalStore

PATH = "/usr/bin:/bin"
DATABASE_PATH = "./nix/var/nix/db/db.sqlite"


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


def build_root(store: FakeStore, **arguments: Any) -> Mapping[str, tarfile.TarInfo]:
    """Return the members of the customisation layer; a file's content is in its ``pax_headers["content"]``."""
    named = {"contents": ["hello"], "store": str(store.root), "architecture": "amd64", "search_path": PATH, **arguments}
    made = lamina.stream_layered_image(include_nix_db=True, **named)
    out = io.BytesIO()
    made.write_to(out)
    out.seek(0)
    found = {}
    with tarfile.open(fileobj=out) as archive:
        last = archive.extractfile(f"{len(made.draft.layers)}.tar")
        assert last
        with tarfile.open(fileobj=io.BytesIO(last.read())) as layer:
            for member in layer:
                file = layer.extractfile(member) if member.isreg() else None
                member.pax_headers = {"content": (file.read() if file else b"").decode("latin1")}
                found[member.name] = member
    return found


def content(member: tarfile.TarInfo) -> bytes:
    return member.pax_headers["content"].encode("latin1")


def read_registrations(members: Mapping[str, tarfile.TarInfo], folder: Path) -> dict[str, Registration]:
    file = folder / "read.sqlite"
    file.write_bytes(content(members[DATABASE_PATH]))
    found, warnings = database.read(file)
    assert warnings == ()
    return {one.path.name: one for one in found}


def test_the_whole_closure_is_registered_with_schema_and_gc_roots(store: FakeStore, tmp_path: Path) -> None:
    members = build_root(store)
    found = read_registrations(members, tmp_path)
    assert set(found) == {"hello-2.12.1", "sh-5", "words-2.1-data", "libgreet-1.0"}
    assert {one.registration_time for one in found.values()} == {315532800}
    assert content(members["./nix/var/nix/db/schema"]) == b"10"
    hello = str(found["hello-2.12.1"].path)
    assert members[f"./nix/var/nix/gcroots/docker/{hello.rpartition('/')[2]}"].linkname == hello
    assert members[DATABASE_PATH].mode == 0o644


def test_the_database_is_reproducible_and_its_mentions_add_nothing(store: FakeStore) -> None:
    first, second = build_root(store), build_root(store, extra_commands="true")
    assert content(first[DATABASE_PATH]) == content(second[DATABASE_PATH])


def test_what_a_script_refers_to_and_what_the_config_names_is_registered_too(store: FakeStore, tmp_path: Path) -> None:
    """nixpkgs registers only the closure of contents."""
    late = store.add("late-1", {"share": {}})
    named = store.add("named-1", {"share": {}})
    script = f"ln -s {late} late; chmod 600 {DATABASE_PATH}"
    members = build_root(store, contents=["sh"], extra_commands=script, config={"Env": [f"X={named}"]})
    assert set(read_registrations(members, tmp_path)) == {"sh-5", "libgreet-1.0", "late-1", "named-1"}
    assert members[DATABASE_PATH].mode == 0o600


def test_owner_and_mode_that_a_script_gave_stay_and_it_sees_the_database(store: FakeStore, tmp_path: Path) -> None:
    late = store.add("late-1", {"share": {}})
    script = f"""
    head -c 15 {DATABASE_PATH} | grep -q 'SQLite format 3'
    chown -R 1000:100 nix/var
    chmod 0440 {DATABASE_PATH}
    ln {DATABASE_PATH} copy
    ln -s {late} late
    """
    members = build_root(store, fake_root_commands=script)
    member = members[DATABASE_PATH]
    assert (member.uid, member.gid, member.mode) == (1000, 100, 0o440)
    assert "late-1" in read_registrations(members, tmp_path)
    assert content(members["./copy"]) == content(member)


def test_what_a_script_registered_stays(store: FakeStore, tmp_path: Path) -> None:
    row = f"'/nix/store/{'0' * 32}-mine', 'sha256:{'0' * 64}', 5, 7"
    insert = f"INSERT INTO ValidPaths (path, hash, registrationTime, narSize) VALUES ({row})"
    program = "import sqlite3, sys; database = sqlite3.connect(sys.argv[1]); "
    program += f"database.execute('PRAGMA journal_mode=wal'); database.execute(\\\"{insert}\\\"); database.commit()"
    members = build_root(store, extra_commands=f'python3 -c "{program}" {DATABASE_PATH}')
    found = read_registrations(members, tmp_path)
    assert found["mine"].registration_time == 5
    assert len(found) == 5
    assert not [name for name in members if name.endswith(("-wal", "-shm"))]


def test_a_script_may_delete_the_database_and_that_is_a_warning(store: FakeStore) -> None:
    assert DATABASE_PATH not in build_root(store, extra_commands="rm -r nix")
    made = lamina.stream_layered_image(
        contents=["hello"], store=str(store.root), include_nix_db=True, extra_commands="rm -r nix", search_path=PATH
    )
    assert "Nix database: a script deleted it, so the image has none" in made.warnings


def test_a_database_that_a_script_broke_is_a_format_error(store: FakeStore) -> None:
    with pytest.raises(FormatError, match=r"db\.sqlite"):
        build_root(store, extra_commands=f"echo spoilt > {DATABASE_PATH}")


def test_the_base_images_database_is_taken_over(store: FakeStore, tmp_path: Path) -> None:
    base = tmp_path / "base.tar"
    lamina.build_layered_image(
        output=base, contents=["words"], store=str(store.root), include_nix_db=True, architecture="amd64", tag="1"
    )
    found = read_registrations(build_root(store, contents=["sh"], from_image=base), tmp_path)
    assert set(found) == {"words-2.1-data", "sh-5", "libgreet-1.0"}


def test_the_log_of_the_base_images_database_is_taken_over_and_hidden(store: FakeStore, tmp_path: Path) -> None:
    """SQLite would apply the log of the base's database to the new one."""
    late = store.add("late-1", {"share": {}})
    folder = tmp_path / "database"
    folder.mkdir()
    file = folder / "db.sqlite"
    file.write_bytes(database.dump([Registration.of(LocalStore(store.root).query([late])[late])]))
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        row = (f"/nix/store/{'0' * 32}-logged", "sha256:" + "0" * 64, 5, 7)
        connection.execute("INSERT INTO ValidPaths (path, hash, registrationTime, narSize) VALUES (?, ?, ?, ?)", row)
        files = {f"nix/var/nix/db/{entry.name}": entry.read_bytes() for entry in folder.iterdir()}
    assert set(files) == {f"nix/var/nix/db/db.sqlite{ending}" for ending in ("", "-wal", "-shm")}
    (tmp_path / "base.tar").write_bytes(docker_archive({"1.tar": tar(files)}))
    members = build_root(store, contents=["sh"], from_image=tmp_path / "base.tar")
    assert set(read_registrations(members, tmp_path)) == {"sh-5", "libgreet-1.0", "late-1", "logged"}
    hidden = {name.rpartition("/")[2] for name in members if "/.wh." in name}
    assert hidden == {".wh.db.sqlite-wal", ".wh.db.sqlite-shm"}


def test_a_base_with_an_invalid_database_is_a_format_error(store: FakeStore, tmp_path: Path) -> None:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        member = tarfile.TarInfo(DATABASE_PATH)
        member.size = 6
        archive.addfile(member, io.BytesIO(b"no sql"))
    base = tmp_path / "base.tar"
    base.write_bytes(docker_archive({"1.tar": layer.getvalue()}))
    flags = ("stream", "hello", "--store", store.root, "--from-image", base)
    assert run(*flags).code == 0
    ran = run(*flags, "--include-nix-db")
    assert (ran.code, ran.stdout) == (3, b"")
    assert ran.stderr.startswith("lamina: base image: /nix/var/nix/db/db.sqlite: got ")


def test_the_flag_and_dockertools_name_do_the_same(store: FakeStore, tmp_path: Path) -> None:
    spec = tmp_path / "spec.toml"
    spec.write_text('[x]\ncontents = ["hello"]\nincludeNixDB = true\nstore = "root"\n')
    ours = run("stream", "hello", "--store", store.root, "--include-nix-db", "--name", "hello")
    assert ours.code == 0, ours.stderr
    assert run("stream", "--spec", spec, "--name", "hello").stdout == ours.stdout
