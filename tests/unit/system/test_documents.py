"""Documents of users that never end, are nested too deeply or are invalid: an error in bounded time, never a bug."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.support.examples import mark_rest
from tests.support.fake_nix_store import CompletedRun, FakeStore, example, graph_of, run

from lamina.errors import FormatError, InputError, InvalidArgument, Unavailable
from lamina.formats.container_config import MAX_SIZE, check
from lamina.formats.json_toml import parse_json, parse_toml
from lamina.messages.redaction import join_names
from lamina.system.documents import check_file, read_document, read_json
from lamina.transports.aws import AwsSession
from lamina.transports.environment import create_tls_context, find_ca_bundle, read_credentials
from lamina.transports.retry import RetryPolicy

# The environment variable LAMINA_ALL sets how many documents of each kind are tried.
COUNT = int(os.environ.get("LAMINA_ALL") or 80)
ENDLESS = "/dev/zero"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeStore:
    """Change to an empty folder with a store beside it and no settings of the user."""
    for variable in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return example(tmp_path / "root")[0]


def refused(ran: CompletedRun, *codes: int) -> None:
    """Check that the run ended with one of ``codes`` and a short message."""
    assert ran.code in codes, ran.stderr
    assert len(ran.stderr) < 3000
    assert "Traceback" not in ran.stderr
    assert "a bug in lamina" not in ran.stderr


# --- reading


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 10)
    assert read_document(file, "file", "ten bytes", limit=10) == b"x" * 10
    with pytest.raises(FormatError, match=r"^file: got more than 9 B, expected ten bytes$"):
        read_document(file, "file", "ten bytes", limit=9)


def test_a_pipe_is_read_like_a_file(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    data = os.urandom(1 << 18)

    def write() -> None:
        with os.fdopen(writing, "wb") as end:
            end.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    assert read_document(f"/dev/fd/{reading}", "pipe", "a document") == data
    thread.join()
    os.close(reading)


def test_the_json_of_a_file_is_read_with_one_kind_of_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text('{"a": [1]}')
    assert read_json(file, "file", "a list in JSON") == {"a": [1]}
    with pytest.raises(FormatError, match=r"^file: got more than 9 B, expected a list in JSON$"):
        read_json(file, "file", "a list in JSON", limit=9)
    file.write_text("[" * 100_000)
    with pytest.raises(FormatError, match=r"^file: got values nested too deeply, expected a list in JSON$"):
        read_json(file, "file", "a list in JSON")
    with pytest.raises(InputError, match=r"^file: got No such file or directory, expected a list in JSON$") as caught:
        read_json(tmp_path / "nothing", "file", "a list in JSON", hint="write one")
    assert caught.value.hint == "write one"


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    for name in ("none", "a\0b", "", "x" * 300):
        with pytest.raises(InputError, match=r"^subject: got .*, expected a document$") as caught:
            read_document(tmp_path / name, "subject", "a document", hint="look elsewhere")
        assert caught.value.hint == "look elsewhere"


def test_a_file_for_a_library_must_have_an_end(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 10)
    check_file(file, "file", "a file", limit=10)
    check_file(tmp_path, "folder", "certificates")
    for location, limit in ((file, 9), (Path(ENDLESS), 10)):
        with pytest.raises(Unavailable, match=r"^it: got .*, expected a file$"):
            check_file(location, "it", "a file", limit=limit)


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "--spec", ENDLESS],
        ["plan", "--name", "x", "--config", ENDLESS],
        ["plan", "--name", "x", "--layering", ENDLESS],
        ["plan", "x", "--channel", ENDLESS],
        ["plan", "x", "--store", ENDLESS],
        ["stream", "--conf", ENDLESS],
        ["inspect", ENDLESS],
        ["merge", ENDLESS, "-o", "out.tar"],
        ["export", ENDLESS, "-o", "out.tar"],
        ["build", "--name", "x", "--from-image", ENDLESS, "-o", "out.tar"],
        ["build", "--name", "x", "--file", f"/a={ENDLESS}", "-o", "out.tar"],
        ["store", "add", ENDLESS],
        ["store", "key", "public", ENDLESS],
        ["store", "sign", "--all", "--key", ENDLESS],
    ],
)
def test_no_command_reads_an_endless_file(words: list[str], here: FakeStore) -> None:
    refused(run(*words), 2, 3, 5, 11)


@pytest.mark.parametrize("variable", ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "SSL_CERT_FILE", "NETRC"])
def test_no_variable_makes_lamina_read_an_endless_file(
    variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("NIX_SSL_CERT_FILE", raising=False)
    monkeypatch.setenv(variable, ENDLESS)
    readers: dict[str, list[Callable[[], object]]] = {
        "SSL_CERT_FILE": [find_ca_bundle, create_tls_context],
        "NETRC": [lambda: read_credentials("host")],
    }
    for read in readers.get(variable, [lambda: AwsSession("", "", RetryPolicy())]):
        with pytest.raises(Unavailable, match=rf"^{ENDLESS}: got a device or pipe, expected "):
            read()


def test_a_store_with_endless_files_is_refused(here: FakeStore) -> None:
    os.makedirs("cache")
    os.symlink(ENDLESS, "cache/nix-cache-info")
    refused(run("store", "ls", "--store", "cache"), 5)
    os.makedirs("nix/nix/var/nix/db")
    os.symlink(ENDLESS, "nix/nix/var/nix/db/schema")
    os.symlink(ENDLESS, "nix/nix/var/nix/db/db.sqlite")
    refused(run("plan", "x", "--store", "nix"), 5)


# --- parsing


@pytest.mark.parametrize(
    "text",
    [
        ".".join("a" * 100_000) + " = 1",
        "[" + ".".join("a" * 100_000) + "]",
        " . ".join(['"a"'] * 100_000) + " = 1",
        "a = {" + ".".join(["'a'"] * 100_000) + " = 1}",
        "a = " + "[" * 100_000,
        "a = " + "{a = " * 100_000,
        "a = " + "9" * 100_000,
        "a = 1979-99-99",
        "a",
        "\0",
    ],
)
def test_toml_that_takes_long_to_parse_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match=r"^spec: got .*, expected TOML$"):
        parse_toml(text.encode(), "spec")


def test_other_toml_is_accepted() -> None:
    text = 'a.b."c.d" = "' + "1.2 " * 1000 + '"\n' + "[[x.y]]\n" * 100 + "c = '''\n" + "a.b\n" * 100 + "'''"
    assert parse_toml(text.encode(), "spec")["a"] == {"b": {"c.d": "1.2 " * 1000}}
    with pytest.raises(FormatError, match="not UTF-8 at offset 5"):
        parse_toml(b"a = '\xff'", "spec")


@pytest.mark.parametrize("text", ["[" * 1_000_000, '{"a":' * 100_000, "9" * 100_000, "", "{", b"\xff", "nul"])
def test_invalid_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(FormatError, match=r"^x: got .*, expected JSON$"):
        parse_json(text, "x")


def test_the_size_of_a_config_is_limited() -> None:
    assert check({"Cmd": ["x" * (MAX_SIZE - 100)]}) == ()
    with pytest.raises(InvalidArgument, match=r"^config: got \d+ characters, expected at most"):
        check({"Cmd": ["x" * MAX_SIZE]})


def test_a_number_of_too_many_digits_is_refused_in_any_key(here: FakeStore) -> None:
    Path("x.toml").write_text("[a]\nconfig.Foo = 0x" + "f" * 10_000)
    refused(run("plan", "--spec", "x.toml", "--store", str(here.root)), 2)


def test_of_many_unknown_keys_only_some_are_named() -> None:
    warnings = check({f"Cmdd{number}": None for number in range(20_000)} | {"x" * 100_000: None})
    assert len(warnings) == 11
    assert warnings[0] == "config: got key 'Cmdd0', expected one of the image specification; did you mean Cmd?"
    assert warnings[-1] == "config: got 19991 more keys that are not in the image specification"


def test_a_long_list_of_names_is_cut_short() -> None:
    assert join_names(["a", "b"]) == "a, b"
    assert join_names([]) == "none"
    assert join_names({str(number): 0 for number in range(1000)}).endswith(" and 980 more")
    assert len(join_names(["x" * 1000] * 1000)) < 400


# --- random documents


def values(draw: Random) -> Any:
    """Return a random value, mostly an unexpected one."""
    simple: list[Any] = [
        None, True, False, 0, -1, 1 << 63, 10**4000, 1e308, "", " ", "\0", "\n", "\x1b[31m", "\ud800", "ü" * 300,
        "x" * 100_000, "/nix/store/" + "0" * 32 + "-x", "../" * 500, "a=b", "=", "now", [], {}, [[]], {"": {}}, "é",
        {"x" * 5000: 1}, ["x"] * 5000, "http:/u:p@h", "[", "\u202e", "{}", "*" * 1000, "(" * 500,
    ]  # fmt: skip
    value = draw.choice(simple)
    for _ in range(draw.choice([0, 0, 0, 1, 3, 200])):
        value = [value] if draw.random() < 0.5 else {"a": value}
    return value


def changed(value: Any, draw: Random) -> Any:
    """Return ``value`` with one of its parts replaced by a random value."""
    if draw.random() < 0.2 or not isinstance(value, (dict, list)) or not value:
        return values(draw)
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    key = draw.choice(list(copy)) if isinstance(copy, dict) else draw.randrange(len(copy))
    match draw.randrange(8):
        case 0 if isinstance(copy, dict):
            copy[draw.choice(["", "x" * 3000, "\0", "\ud800", str(key).swapcase(), f"{key} "])] = copy.pop(key)
        case 1:
            del copy[key]
        case _:
            copy[key] = changed(copy[key], draw)
    return copy


def damaged(data: bytes, draw: Random) -> bytes:
    """Return ``data`` with some bytes removed, inserted or repeated."""
    start = draw.randrange(len(data) + 1)
    end = min(len(data), start + draw.choice([0, 1, 5, 100]))
    put = draw.choice([b"", b"\0", b"\xff", b'"', b"{", b"]", b"\n", b"1e999", data[start:end] * 3, b"[" * 5000])
    return data[:start] + put + data[end:]


def documents(document: Any, name: str) -> Iterator[bytes]:
    """Yield documents that differ a little from a valid one."""
    draw = Random(name)
    for number in range(COUNT):
        if number % 4:
            text = json.dumps(changed(document, draw), indent=draw.choice([None, 1]))
            yield text.encode("utf-8", "surrogatepass")
        else:
            yield damaged(json.dumps(document).encode(), draw)


CONFIG = {
    "Cmd": ["/bin/hello"], "Env": ["A=b"], "Labels": {"a": "b"}, "ExposedPorts": {"80/tcp": {}}, "User": "0",
    "Healthcheck": {"Test": ["NONE"], "Interval": 1}, "StopTimeout": 5, "Volumes": {"/a": {}}, "WorkingDir": "/",
}  # fmt: skip
PIPELINE = [
    ["subcomponent_out", [{"children_of": ["/nix/store/" + "0" * 32 + "-x"]}]],
    ["over", "rest", ["pipe", [["split_paths", ["/nix/store/" + "1" * 32 + "-y"]], ["popularity_contest"]]]],
    ["flatten"],
    ["limit_layers", 5],
]
SPEC = {
    "a": {
        "name": "x", "tag": "1", "contents": ["hello"], "config": CONFIG, "maxLayers": 20, "created": "now", "uid": 0,
        "tree": [{"dir": "/a:755"}, {"symlink": "/b=c"}], "extras": ["tmp"], "layering": "popularity", "closure": [],
    }
}  # fmt: skip


@pytest.mark.parametrize("kind", mark_rest(["config", "spec", "pipeline", "graph", "conf"], 2))
def test_any_document_is_accepted_or_refused(kind: str, here: FakeStore) -> None:
    graph = graph_of(here)
    path = graph[0]["path"]
    conf = {
        "architecture": "amd64", "config": CONFIG, "store_dir": "/nix/store", "from_image": None, "repo_tag": "a:1",
        "store_layers": [[path]], "customisation_layer": path, "created": "now", "mtime": "now", "uid": "0", "gid": 0,
        "uname": "root", "gname": "root",
    }  # fmt: skip
    good: Any = {"config": CONFIG, "spec": SPEC, "pipeline": PIPELINE, "graph": graph, "conf": conf}[kind]
    root = str(here.root)
    words = {
        "config": ["plan", "hello", "--store", root, "--config", "x.json"],
        "spec": ["plan", "--store", root, "--spec", "x.json#a"],
        "pipeline": ["plan", "hello", "--store", root, "--layering", "./x.json"],
        "graph": ["plan", "hello", "--store", "x.json"],
        "conf": ["stream", "--store", root, "--conf", "x.json"],
    }[kind]
    for data in documents(good, kind):
        Path("x.json").write_bytes(data)
        ran = run(*words)
        refused(ran, 0, 2, 3, 4, 5, 6, 11)
        assert ran.code == 0 or ran.stderr.count("lamina: ") >= 1


def test_any_toml_file_is_accepted_or_refused(here: FakeStore) -> None:
    draw = Random("toml")
    lines = [
        "[a]", "[a.config]", "name = 'x'", "contents = ['hello']", "config.Cmd = ['/bin/hello']", "uid = 0",
        "tree = [{dir = '/a:755'}]", "created = 2020-01-01", "[[a.tree]]", "dir = '/b'", "maxLayers = 3",
    ]  # fmt: skip
    for _ in range(COUNT):
        text = "\n".join(draw.choices(lines, k=draw.randrange(1, 12)))
        data = damaged(text.encode(), draw) if draw.random() < 0.6 else text.encode()
        Path("x.toml").write_bytes(data)
        refused(run("plan", "--store", str(here.root), "--spec", "x.toml#a"), 0, 2, 3, 4, 5)


@pytest.mark.parametrize("verb", [["store", "key", "public"], ["store", "sign", "--all", "--store", "none", "--key"]])
def test_any_key_file_is_accepted_or_refused(verb: list[str], here: FakeStore) -> None:
    run("store", "key", "generate", "a-1", "-o", "good.key")
    good, draw = Path("good.key").read_bytes(), Random("key")
    for _ in range(COUNT):
        Path("x.key").write_bytes(damaged(good, draw))
        refused(run(*verb, "x.key"), 0, 2, 3, 5)


@pytest.mark.parametrize("name", ["oci-layout", "index.json"])
@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"a": ' + "9" * 100_000 + "}", "", "\0"])
def test_a_layout_with_invalid_documents_is_refused(name: str, text: str, here: FakeStore) -> None:
    os.makedirs("layout/blobs/sha256")
    Path("layout/oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    Path("layout/index.json").write_text('{"schemaVersion": 2, "manifests": []}')
    Path("layout", name).write_text(text)
    refused(run("build", "hello", "--store", str(here.root), "-o", "layout/"), 2, 3)
    refused(run("inspect", "layout"), 3)


@pytest.mark.parametrize("value", [[["flatten"]] * 20_000, [["pipe", [["flatten"]] * 200]] * 200])
def test_the_size_of_a_pipeline_is_limited(value: list[Any], here: FakeStore) -> None:
    Path("x.json").write_text(json.dumps(value))
    ran = run("plan", "hello", "--store", str(here.root), "--layering", "./x.json")
    refused(ran, 2)
    assert "got more than 10000 lists, expected fewer calls" in ran.stderr


def test_a_pipeline_that_names_many_paths_is_accepted(here: FakeStore) -> None:
    paths = [f"/nix/store/{number:032d}-x" for number in range(20_000)]
    Path("x.json").write_text(json.dumps([["split_paths", paths], ["flatten"]]))
    refused(run("plan", "hello", "--store", str(here.root), "--layering", "./x.json"), 0)
