"""Damaged databases of every kind: the layer cache, the database of a store, and that of a base image."""

from __future__ import annotations

import ast
import os
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.factories import infos
from tests.support.fake_nix_store import FakeStore, run
from tests.support.paths import PACKAGE

from lamina.errors import Error, FormatError, Unavailable
from lamina.layer_cache.cache import LayerCache
from lamina.rootfs import database
from lamina.rootfs.registration import Registration
from lamina.stores.local.database import DATABASE, LocalStore
from lamina.system.sqlite import DatabaseError, open_database, translate_errors

# How many random cases of each kind of damage are tried; LAMINA_TEST_SEEDS sets another number.
SEEDS = range(int(os.environ.get("LAMINA_TEST_SEEDS", "50")))


def not_utf8(data: bytes, seed: int = 0) -> bytes:
    """Make the schema invalid, so that SQLite's message quotes bytes that are not UTF-8."""
    words = [b"CREATE TABLE", b"PRIMARY KEY", b"NOT NULL"]
    word = words[seed % len(words)]
    return data.replace(word, b"\xff\xfe\x80" + word[3:], 1)


def flipped(data: bytes, seed: int) -> bytes:
    """Flip one to eight bits."""
    chance, changed = random.Random(seed), bytearray(data)
    for _ in range(chance.randint(1, 8)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def overwritten(data: bytes, seed: int) -> bytes:
    """Overwrite a range with random bytes, mostly on the first page, where the schema is."""
    chance, changed = random.Random(seed), bytearray(data)
    start = chance.randrange(100, 4096 if seed % 3 else len(changed))
    piece = chance.randbytes(chance.randint(1, 60))
    changed[start : start + len(piece)] = piece
    return bytes(changed[: len(data)])


def cut(data: bytes, seed: int) -> bytes:
    """Cut off the end."""
    return data[: random.Random(seed).randrange(len(data))]


def shuffled(data: bytes, seed: int) -> bytes:
    """Swap two pages."""
    pages = [data[start : start + 4096] for start in range(0, len(data), 4096)]
    one, other = random.Random(seed).sample(range(len(pages)), 2)
    pages[one], pages[other] = pages[other], pages[one]
    return b"".join(pages)


_LETTER = re.compile(b"[%s]" % bytes(byte for byte in range(256) if chr(byte).isalpha()))


def text_is_blob(data: bytes, seed: int) -> bytes:
    """Replace letters everywhere by bytes that are invalid in UTF-8."""
    chance = random.Random(seed)
    letters = [found.start() for found in _LETTER.finditer(data)]
    changed = bytearray(data)
    for position in chance.sample(letters, min(5, len(letters))):
        changed[position] = chance.randrange(128, 256)
    return bytes(changed)


def raised(work: Callable[[], object], kind: type[Error]) -> str:
    """Return the message of an error of that ``kind``, empty if there is none; any other exception fails the test."""
    try:
        work()
    except kind as error:
        return str(error)
    return ""


DAMAGES: dict[str, Callable[[bytes, int], bytes]] = {
    "not utf-8": not_utf8,
    "flipped": flipped,
    "overwritten": overwritten,
    "cut": cut,
    "shuffled": shuffled,
    "text": text_is_blob,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FakeStore:
    made = FakeStore(tmp_path_factory.mktemp("store"))
    library = made.add("library-1", {"file": b"x" * 1000})
    made.add("hello-2", {"file": b"x" * 1000}, references=[library])
    for number in range(40):
        made.add(f"other-{number}", b"x", references=[library])
    return made


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_database_of_a_store_is_an_error_that_says_so(name: str, store: FakeStore, tmp_path: Path) -> None:
    whole = (store.root / DATABASE).read_bytes()
    (tmp_path / DATABASE).parent.mkdir(parents=True)
    (tmp_path / DATABASE).with_name("schema").write_text("10")
    found = LocalStore(store.root)
    paths = found.find("hello")
    for seed in SEEDS:
        (tmp_path / DATABASE).write_bytes(DAMAGES[name](whole, seed))
        for read in (
            lambda: LocalStore(tmp_path).find("hello"),
            lambda: LocalStore(tmp_path).query(paths),
            lambda: LocalStore(tmp_path).narinfo(paths[0]),
            lambda: LocalStore(tmp_path).hashes(),
        ):
            message = raised(read, Unavailable)
            assert message.isprintable()
            assert len(message) < 1000


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_database_of_a_base_image_is_an_error_that_says_so(name: str, tmp_path: Path) -> None:
    arrows = " ".join(f"A{number}→B{number},A{number}" for number in range(40))
    whole = database.dump(map(Registration.of, infos(arrows)))
    file = tmp_path / "db.sqlite"
    for seed in SEEDS:
        file.write_bytes(DAMAGES[name](whole, seed))
        for work in (database.checkpoint_wal, database.read):
            assert raised(lambda work=work: work(file), FormatError).isprintable()  # type: ignore[misc]


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_layer_cache_is_a_warning_and_replaced_by_a_new_one(
    name: str, store: FakeStore, tmp_path: Path
) -> None:
    file = tmp_path / "layer-cache.sqlite"
    image = ["hello", "--store", str(store.root), "--layer-cache", str(file)]
    assert run("build", *image, "-o", tmp_path / "image.tar").code == 0
    whole = file.read_bytes()
    for seed in SEEDS:
        for left in tmp_path.glob("layer-cache.sqlite*"):
            left.unlink()
        file.write_bytes(DAMAGES[name](whole, seed))
        warnings: list[str] = []
        with LayerCache.open(file, warnings.append) as found:
            found.get_listings([])
        assert all(warning.isprintable() for warning in warnings)
        assert len(warnings) <= 1


@pytest.mark.parametrize("seed", range(2))
def test_no_message_of_sqlite_that_is_not_utf8_is_a_bug(store: FakeStore, tmp_path: Path, seed: int) -> None:
    root = tmp_path / "root"
    (root / "nix/store").mkdir(parents=True)
    (root / DATABASE).parent.mkdir(parents=True)
    (root / DATABASE).with_name("schema").write_text("10")
    (root / DATABASE).write_bytes(not_utf8((store.root / DATABASE).read_bytes(), seed))
    for verb in ("plan", "stream"):
        ran = run(verb, "hello", "--store", root)
        assert ran.code == 5, ran.stderr
        assert "expected a readable Nix database" in ran.stderr
    file = tmp_path / "layer-cache.sqlite"
    image = ["hello", "--store", str(store.root), "-o", str(tmp_path / "image.tar"), "--layer-cache", str(file)]
    assert run("build", *image).code == 0
    file.write_bytes(not_utf8(file.read_bytes(), seed))
    first, second = run("build", *image), run("build", *image)
    assert (first.code, second.code) == (0, 0), first.stderr + second.stderr
    assert "the file was deleted, and a new layer cache is created" in first.stderr
    assert "layer_cache" not in second.stderr


def test_a_database_raises_one_kind_of_exception(tmp_path: Path) -> None:
    file = tmp_path / "db.sqlite"
    file.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    with pytest.raises(DatabaseError) as caught, open_database(file, "mode=ro") as connection:
        connection.execute("SELECT * FROM sqlite_master").fetchall()
    assert caught.value.is_damage
    with pytest.raises(DatabaseError) as caught, open_database(tmp_path / "absent", "mode=ro") as connection:
        connection.execute("SELECT 1")
    assert caught.value.cannot_open
    assert not caught.value.is_damage
    with pytest.raises(DatabaseError, match=r"^near \\xff: syntax error$") as caught, translate_errors():
        b"near \xff: syntax error".decode()
    assert caught.value.is_damage
    assert not issubclass(DatabaseError, Error)


def test_no_other_module_opens_a_database() -> None:
    for file in PACKAGE.rglob("*.py"):
        if file.name == "sqlite.py":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sqlite3":
                assert node.attr in {"Connection", "Error"}, f"{file}: sqlite3.{node.attr}"
