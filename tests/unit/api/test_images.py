"""The public functions that make images."""

from __future__ import annotations

import datetime as dt
import hashlib
import inspect
import io
import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from tests.support.examples import mark_rest
from tests.support.fake_nix_store import FakeStore, Program, SymlinkTo, call, example, store_path, write_graph

import lamina
from lamina.core.names import StorePath
from lamina.core.nodes import Node
from lamina.core.pathinfo import PathInfo
from lamina.errors import Error, InvalidArgument, NotFound, OutputError, PlanError, ScriptError
from lamina.stores.local.database import LocalStore

HELLO = store_path("hello-2.12.1")


@pytest.fixture
def store(tmp_path: Path) -> FakeStore:
    return example(tmp_path / "root")[0]


def make_stream(fake: FakeStore, /, **arguments: Any) -> lamina.Stream:
    return lamina.stream_layered_image(**{"store": str(fake.root), "contents": ["hello"], **arguments})


def image_id(stream: lamina.Stream) -> str:
    return stream.write_to(io.BytesIO()).id


# Main uses


def test_an_image_is_streamed_in_three_lines(store: FakeStore) -> None:
    out = io.BytesIO()
    stream = lamina.stream_layered_image(
        name="hello", tag="latest", contents=[str(HELLO)], config={"Cmd": ["/bin/hello"]}, store=str(store.root)
    )
    image = stream.write_to(out)
    assert image.id == f"sha256:{image.digest.hex}"
    assert image.repo_tag == "hello:latest"
    assert image.layers[0].size > 0
    assert str(image.layers[0].diff_id).startswith("sha256:")
    assert HELLO in {path for layer in image.layers for path in layer.paths}
    assert out.getvalue()


def test_an_image_is_built_inspected_and_planned(store: FakeStore, tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"contents": [str(HELLO)], "store": str(store.root), "tag": "1"}
    image = lamina.build_layered_image(output=tmp_path / "hello.tar.gz", jobs=2, **arguments)
    (found,) = lamina.inspect(tmp_path / "hello.tar.gz")
    assert (found.digest, found.repo_tags) == (image.digest, ("hello:1",))
    planned = lamina.plan_layered_image(**arguments)
    assert [plan.paths for plan in planned.layers] == [layer.paths for layer in image.layers[:-1]]


def test_a_repeated_build_finds_its_plan_in_the_layer_cache(store: FakeStore, tmp_path: Path) -> None:
    cache = tmp_path / "layer-cache.sqlite"
    arguments: dict[str, Any] = {"contents": [str(HELLO)], "store": str(store.root), "max_layers": 3}
    image = lamina.build_layered_image(output=tmp_path / "hello.tar", **arguments)
    for plans in (1, 1):
        built = lamina.build_layered_image(output=tmp_path / "hello.tar", layer_cache=cache, **arguments)
        assert built.digest == image.digest
        assert lamina.describe_layer_cache(layer_cache=cache).plans == plans
    lamina.build_layered_image(output=tmp_path / "hello.tar", layer_cache=cache, **{**arguments, "max_layers": 4})
    assert lamina.describe_layer_cache(layer_cache=cache).plans == 2


def test_paths_may_be_objects(store: FakeStore, tmp_path: Path) -> None:
    stream = make_stream(store, store=store.root, contents=Path(str(HELLO)))
    assert image_id(stream) == image_id(make_stream(store))
    assert image_id(make_stream(store, store=[store.root])) == image_id(make_stream(store))


class TwoMethodStore:
    """A store with only the two required methods."""

    def __init__(self, store: LocalStore, paths: Iterable[StorePath]) -> None:
        self.infos = store.query(list(paths))
        self.trees = {path: tuple(store.nodes(path)) for path in self.infos}

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        return {path: self.infos[path] for path in paths if path in self.infos}

    def nodes(self, path: StorePath) -> Iterable[Node]:
        return self.trees[path]


def test_any_object_with_two_methods_is_a_store(store: FakeStore) -> None:
    memory = TwoMethodStore(LocalStore(store.root), store.numbers)
    assert image_id(make_stream(store, store=memory, contents=[str(HELLO)])) == image_id(make_stream(store))
    with pytest.raises(NotFound, match=r"'hello': got no valid path of that name in the store"):
        make_stream(store, store=memory)


def test_a_graph_is_a_store(store: FakeStore, tmp_path: Path) -> None:
    graph = write_graph(store, tmp_path / "graph.json")
    assert image_id(make_stream(store, store=[str(graph), str(store.root)])) == image_id(make_stream(store))


def test_a_plan_opens_no_store_path_and_needs_no_name(store: FakeStore, tmp_path: Path) -> None:
    graph = write_graph(store, tmp_path / "graph.json")
    expected = lamina.plan_layered_image(contents=["hello"], store=str(store.root))
    for path in store.numbers:
        subprocess.run(["rm", "-rf", store.location(path)], check=True)
    for location in (store.root, graph):
        planned = lamina.plan_layered_image(contents=["hello"], store=str(location), extra_commands="exit 1")
        assert planned.layers == expected.layers
    assert lamina.plan_layered_image(config={"Cmd": [f"{HELLO}/bin/hello"]}, store=str(graph)).layers == expected.layers


# Contents


def test_paths_that_the_config_mentions_join_the_closure(store: FakeStore) -> None:
    stream = make_stream(store, contents=[], name="x", config={"Cmd": [f"{HELLO}/bin/hello"], "Env": ["A=b"]})
    assert image_id(stream)
    assert {path for plan in stream.draft.plans for path in plan.paths} == set(store.numbers)
    assert stream.warnings == ()


def test_paths_that_the_root_mentions_join_the_closure(store: FakeStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(f"see {store_path('words-2.1-data')} and {store_path('sh-5').hash}")
    ways: list[dict[str, Any]] = [
        {"extra_commands": f"ln -s {store_path('words-2.1-data')} w; ln -s {store_path('sh-5')}/bin/sh sh"},
        {"tree": [lamina.File("/f", str(tmp_path / "file"))]},
        {
            "tree": [
                lamina.Symlink("/w", f"{store_path('words-2.1-data')}/x"),
                lamina.Symlink("/s", str(store_path("sh-5"))),
            ]
        },
    ]
    for way in ways:
        stream = make_stream(store, contents=[], name="x", **way)
        names = {path.name for plan in stream.draft.plans for path in plan.paths}
        assert names == {"words-2.1-data", "sh-5", "libgreet-1.0"}


def test_an_unknown_path_that_is_mentioned_is_a_warning(store: FakeStore) -> None:
    stream = make_stream(store, config={"Env": [f"A={store_path('gone-1')}"]})
    (warning,) = stream.warnings
    assert warning.startswith(f"{store_path('gone-1')}: mentioned by the config or the root")
    assert image_id(stream)


def test_a_closure_joins_and_links_nothing(store: FakeStore) -> None:
    plain = store.add("plain-file", b"#!")
    stream = make_stream(store, contents=["words"], closure=[str(plain), "sh"])
    names = {path.name for plan in stream.draft.plans for path in plan.paths}
    assert names == {"words-2.1-data", "plain-file", "sh-5", "libgreet-1.0"}
    assert [node.path for node, _ in stream.draft.root.tree] == [b"", b"share", b"share/empty", b"share/hello.txt"]  # type: ignore[attr-defined]


def test_the_processor_is_that_of_the_first_program(store: FakeStore) -> None:
    def program(machine: int, word: int = 2, order: int = 1) -> Program:
        number = machine.to_bytes(2, "little" if order == 1 else "big")
        return Program((b"\x7fELF" + bytes([word, order, 1])).ljust(16, b"\0") + b"\2\0" + number + bytes(100))

    store.add("arm-1", {"bin": {"script": Program(b"#!/bin/sh\n"), "x": program(183)}})
    store.add("riscv-1", {"bin": {"x": program(243)}})
    assert make_stream(store, contents=["arm", "riscv"]).draft.settings.config.architecture == "arm64"
    assert make_stream(store, contents=["riscv", "arm"]).draft.settings.config.architecture == "riscv64"
    assert make_stream(store, contents=["arm"], architecture="s390x").draft.settings.config.architecture == "s390x"
    assert make_stream(store, contents=["words"]).draft.settings.config.architecture in ("amd64", "arm64")


def test_what_a_script_printed_is_kept(store: FakeStore) -> None:
    assert make_stream(store, extra_commands="echo hi").script_output == "hi\n"


def test_now_is_the_same_time_for_both_dates(store: FakeStore) -> None:
    settings = make_stream(store, created="now", mtime="now").draft.settings
    assert settings.mtime == settings.config.created
    assert abs(settings.mtime - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)


@pytest.mark.parametrize(
    "created",
    [
        "2020-02-03T04:05:06Z",
        "2020-02-03T04:05:06",
        "2020-02-03T05:05:06+01:00",
        "20200203T040506Z",
        dt.datetime(2020, 2, 3, 4, 5, 6, tzinfo=dt.UTC),
        dt.datetime(2020, 2, 3, 4, 5, 6, 999),  # noqa: DTZ001 - read as UTC
    ],
)
def test_a_time_is_accepted_in_many_formats(store: FakeStore, created: Any) -> None:
    assert make_stream(store, created=created).draft.settings.config.created.isoformat() == "2020-02-03T04:05:06+00:00"


def test_a_link_as_input_is_followed(store: FakeStore) -> None:
    link = store.add("profile-1", SymlinkTo(str(HELLO)), [HELLO])
    stream = make_stream(store, contents=[str(link)])
    assert b"bin/hello" in stream.draft.root.tree  # type: ignore[attr-defined]


# Reproducibility

_IDENTITY = """
import io, json, sys, lamina
root, contents = sys.argv[1], sys.argv[2:]
print(lamina.stream_layered_image(store=root, contents=contents, name="x", max_layers=4,
    config={"Env": ["B=1", "A=2"], "Labels": {"z": "1", "a": "2"}}).write_to(io.BytesIO()).id)
"""


def test_neither_run_nor_order_nor_hash_seed_changes_the_image(store: FakeStore) -> None:
    for number in range(12):
        store.add(f"p{number}-1", {"share": {f"p{number}": b"x" * number}}, [store_path("sh-5")])
    roots = [f"p{number}" for number in range(12)]
    ids = set()
    for seed, order in (("0", roots), ("1", roots), ("1", roots[::-1]), ("random", sorted(roots, key=hash))):
        command = [sys.executable, "-c", _IDENTITY, str(store.root), *order]
        done = subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": seed}, check=True, stdout=subprocess.PIPE)
        ids.add(done.stdout)
    assert len(ids) == 1


def test_the_order_of_keys_in_the_config_does_not_matter(store: FakeStore) -> None:
    one = make_stream(store, config={"Cmd": ["x"], "Labels": {"a": "1", "b": "2"}})
    two = make_stream(store, config={"Labels": {"b": "2", "a": "1"}, "Cmd": ["x"]})
    assert image_id(one) == image_id(two)


# Errors

WRONG: list[dict[str, Any]] = [
    {"name": ""},
    {"name": "a b"},
    {"name": "a//b"},
    {"name": 5},
    {"name": b"x"},
    {"name": "x" * 256},
    {"tag": ""},
    {"tag": "a/b"},
    {"tag": ".x"},
    {"tag": "x" * 129},
    {"tag": 1},
    {"contents": 5},
    {"contents": None},
    {"contents": [5]},
    {"contents": [None]},
    {"contents": b"hello"},
    {"contents": {"hello": 1}},
    {"contents": ["/etc"]},
    {"contents": ["/nix/store"]},
    {"contents": ["/nix/store/"]},
    {"contents": ["/nix/store/short"]},
    {"contents": ["/nix/store/../etc"]},
    {"contents": [f"{HELLO}/../x"]},
    {"contents": [f"{HELLO}/bin/hello"]},
    {"contents": ["./a\0b"]},
    {"closure": 5},
    {"closure": ["/etc/passwd"]},
    {"config": []},
    {"config": "x"},
    {"config": {"Cmd": "/bin/hello"}},
    {"config": {"Cmd": [1]}},
    {"config": {"Env": ["A"]}},
    {"config": {"Env": {"A": "b"}}},
    {"config": {"ExposedPorts": ["80"]}},
    {"config": {"Labels": {"a": 1}}},
    {"config": {"Odd": dt.date(2020, 1, 1)}},
    {"config": {"Odd": float("nan")}},
    {"config": {"Odd": b"x"}},
    {"config": {"Odd": {5: 6, "a": 1}}},
    {"config": {5: "x"}},
    {"architecture": 5},
    {"created": ""},
    {"created": "yesterday"},
    {"created": "2020-13-01"},
    {"created": 5},
    {"created": None},
    {"mtime": "NOW"},
    {"mtime": "0001-01-01T00:00:00+23:00"},
    {"uid": -1},
    {"uid": 2**32},
    {"uid": "x"},
    {"uid": "-1"},
    {"uid": "٣"},
    {"uid": 1.5},
    {"uid": True},
    {"gid": None},
    {"uname": 5},
    {"uname": "a\0b"},
    {"gname": None},
    {"max_layers": "100"},
    {"max_layers": 1.5},
    {"max_layers": None},
    {"max_layers": True},
    {"layering": "best"},
    {"layering": None},
    {"layering": ["auto"]},
    {"extra_commands": 5},
    {"extra_commands": None},
    {"include_store_paths": "no"},
    {"include_store_paths": 1},
    {"tree": 5},
    {"tree": "x"},
    {"tree": [5]},
    {"tree": [{"dir": 5}]},
    {"tree": [{"dir": "/x", "file": "/y"}]},
    {"tree": [{"folder": "/x"}]},
    {"tree": [{"dir": "x"}]},
    {"tree": [lamina.Perm("/no/such", 0o755)]},
    {"tree": [lamina.Symlink("/a", "x"), lamina.Dir("/a/b")]},
    {"store": 5},
    {"store": None},
    {"store": [5]},
    {"store": "ftp://cache.example"},
    {"trusted_keys": "no key"},
    {"offline": 1},
    {"channel": 5},
    {"search_path": 5},
    {"unknown": 1},
    {"fromImage": "x"},
]


@pytest.mark.parametrize("arguments", WRONG, ids=repr)
def test_a_wrong_argument_is_invalid(store: FakeStore, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=r": got .*, expected ") as caught:
        make_stream(store, **arguments)
    assert caught.value.exit_code == 2


MISSING: list[dict[str, Any]] = [
    {"contents": ["no-such-package"]},
    {"contents": [""]},
    {"contents": ["./no-such-link"]},
    {"contents": [str(store_path("gone-1"))]},
    {"contents": [f"{HELLO}/no/such"]},
    {"closure": ["no-such-package"]},
    {"store": "/no/such/store"},
    {"store": "/", "contents": ["no-such-package"]},
]


@pytest.mark.parametrize("source", ["/no/such/source", "/"])
def test_a_source_that_is_no_file_is_an_input_error(store: FakeStore, source: str) -> None:
    with pytest.raises(lamina.InputError, match=r"^file /x: .*: got .*, expected a file") as caught:
        make_stream(store, tree=[lamina.File("/x", source)])
    assert caught.value.exit_code == 11


@pytest.mark.parametrize("arguments", MISSING, ids=repr)
def test_a_missing_path_is_a_store_error(store: FakeStore, arguments: dict[str, Any]) -> None:
    with pytest.raises(lamina.StoreError, match=r": got .*, expected ") as caught:
        make_stream(store, **arguments)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("most", [1, 0, -5])
def test_too_few_layers_are_a_plan_error(store: FakeStore, most: int) -> None:
    for make in (
        lambda: make_stream(store, max_layers=most),
        lambda: lamina.plan_layered_image(contents=["hello"], store=str(store.root), max_layers=most),
    ):
        with pytest.raises(PlanError) as caught:
            make()
        assert caught.value.exit_code == 4


def test_a_failing_script_is_a_script_error_with_its_output(store: FakeStore) -> None:
    with pytest.raises(ScriptError, match="extra commands: got exit status 3, expected 0") as caught:
        make_stream(store, extra_commands="echo why; exit 3")
    assert caught.value.output == "why\n"


def test_an_image_without_a_root_needs_a_name(store: FakeStore) -> None:
    with pytest.raises(InvalidArgument, match="name: got none, expected one") as caught:
        make_stream(store, contents=[], tree=[lamina.Dir("/x")])
    assert caught.value.hint == "give the image a name: --name in a command, name in Python and in a spec file"


@pytest.mark.parametrize("arguments", [{}, {"name": "x"}, {"name": "x", "config": {"Env": ["A=1"]}, "max_layers": 9}])
def test_an_image_of_nothing_asks_for_a_root(store: FakeStore, tmp_path: Path, arguments: dict[str, Any]) -> None:
    given: dict[str, Any] = {"store": str(store.root), **arguments}
    for function in (
        lamina.stream_layered_image,
        lamina.plan_layered_image,
        lambda **given: lamina.build_layered_image(output=tmp_path / "x.tar", **given),
    ):
        with pytest.raises(
            InvalidArgument,
            match=r"^image: got nothing to put into it, expected a ROOT: a store path or ",
        ) as caught:
            function(**given)
        assert "hello" in caught.value.hint
    assert not (tmp_path / "x.tar").exists()


def test_an_image_without_roots_is_accepted_if_an_argument_names_contents(store: FakeStore) -> None:
    (hello,) = store_paths(store, "hello-2.12.1")
    for arguments in (
        {"config": {"Cmd": [f"{hello}/bin/hello"]}},
        {"closure": ["hello"]},
        {"tree": [lamina.Dir("/x")]},
        {"extras": ["tmp"]},
        {"extra_commands": "touch x"},
    ):
        given: dict[str, Any] = {"name": "x", "store": str(store.root), **arguments}
        assert lamina.stream_layered_image(**given)
        lamina.plan_layered_image(**given)


def store_paths(store: FakeStore, name: str) -> list[str]:
    return [str(path) for path in store.numbers if path.name == name]


@pytest.mark.parametrize("name", mark_rest(["x.tar.xz", "x.tar.bz2", "x.zip", "x.TAR.LZ4"], 2))
def test_an_unknown_extension_is_refused_before_a_script_runs(store: FakeStore, tmp_path: Path, name: str) -> None:
    mark = tmp_path / "ran"
    arguments: dict[str, Any] = {"contents": ["hello"], "store": str(store.root), "extra_commands": f"touch {mark}"}
    with pytest.raises(InvalidArgument, match=r"^output: got "):
        lamina.build_layered_image(output=tmp_path / name, **arguments)
    with pytest.raises(InvalidArgument, match=r"^output: got "):
        lamina.merge_images([tmp_path / "missing"], output=tmp_path / name)
    with pytest.raises(InvalidArgument, match=r"^output: got "):
        lamina.export_image(tmp_path / "missing", output=tmp_path / name)
    flags = ("hello", "--store", store.root, "--extra-commands", f"touch {mark}", "-o", tmp_path / name)
    assert call("build", *flags).code == 2
    assert not mark.exists()
    assert not (tmp_path / name).exists()
    (tmp_path / name).mkdir()
    assert lamina.build_layered_image(output=tmp_path / name, contents=["hello"], store=str(store.root))
    plain = lamina.build_layered_image(
        output=tmp_path / f"y{name}", contents=["hello"], store=str(store.root), compressor="none"
    )
    assert lamina.inspect(tmp_path / f"y{name}")[0].id == plain.id


def test_a_package_whose_name_is_no_image_name_needs_another(store: FakeStore) -> None:
    store.add("lib++-1.0", {"x": b""})
    with pytest.raises(InvalidArgument, match=r"^name: got 'lib\+\+', expected") as caught:
        make_stream(store, contents=["lib++"])
    assert caught.value.hint == "give the image a name: --name in a command, name in Python and in a spec file"
    assert image_id(make_stream(store, contents=["lib++"], name="lib"))


@pytest.mark.parametrize(
    "options", [{"compressor": "xz"}, {"compressor": 5}, {"jobs": 0}, {"jobs": "2"}, {"jobs": True}]
)
def test_a_wrong_option_of_a_build_leaves_no_file(store: FakeStore, tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=r": got .*, expected "):
        make_stream(store, **options).build(tmp_path / "x.tar")
    assert sorted(os.listdir(tmp_path)) == ["root"]


def test_an_output_that_cannot_be_written_is_an_output_error_that_names_it(store: FakeStore, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=rf"^{tmp_path}/no/such.tar: got No such file or directory, expected"):
        make_stream(store).build(tmp_path / "no/such.tar")
    with pytest.raises(OutputError, match=r"^output: got Bad file descriptor, expected to write the result there"):
        make_stream(store).write_to(Unwritable())


class Unwritable:
    """An output that cannot be written."""

    def write(self, data: memoryview, /) -> int:
        return os.write(10_000, data)


# Form of the API


def test_every_function_takes_its_arguments_by_name() -> None:
    for function in (lamina.stream_layered_image, lamina.build_layered_image, lamina.plan_layered_image):
        kinds = {parameter.kind for parameter in inspect.signature(function).parameters.values()}
        assert kinds <= {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD}


def test_the_package_is_typed() -> None:
    assert resources.files("lamina").joinpath("py.typed").is_file()


def test_every_error_is_a_lamina_error_and_says_so_in_one_line(store: FakeStore) -> None:
    with pytest.raises(lamina.Error) as caught:
        make_stream(store, contents=["no\nsuch"])
    assert isinstance(caught.value, Error)
    assert "\n" not in str(caught.value)


def test_nothing_is_printed(store: FakeStore, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    stream = make_stream(store, extra_commands="echo hi; echo there >&2", config={"Odd": 1})
    stream.build(tmp_path / "x.tar.gz")
    stream.script(tmp_path / "script")
    assert len(stream.warnings) == 1
    assert capfd.readouterr() == ("", "")


def test_importing_lamina_imports_only_its_version() -> None:
    code = "import sys, lamina; print(sorted(name for name in sys.modules if name.startswith('lamina.')))"
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)
    assert json.loads(done.stdout.replace(b"'", b'"')) == ["lamina.version"]


def test_the_digest_of_the_config_is_the_id(store: FakeStore, tmp_path: Path) -> None:
    image = make_stream(store).build(tmp_path / "x.tar")
    data = (tmp_path / "x.tar").read_bytes()
    start = data.index(b'{\n    "created"')
    text = data[start : data.index(b"\0", start)]
    assert hashlib.sha256(text).hexdigest() == image.digest.hex
