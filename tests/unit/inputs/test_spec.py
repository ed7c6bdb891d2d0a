"""The arguments of an image: one table for the command line, spec files and Python."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from lamina.core.names import StorePath
from lamina.core.nodes import Node
from lamina.core.pathinfo import PathInfo
from lamina.errors import FormatError, InputError, InvalidArgument
from lamina.formats.tar import Owner
from lamina.inputs.spec import Spec
from lamina.layering import PinnedStrategy, Pipeline
from lamina.rootfs.entries import Dir, File, Perm, Symlink
from lamina.stores.store import adapt_store

FIRST_SECOND = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)


class EmptyStore:
    """A store of the caller's own."""

    def query(self, paths: Collection[StorePath]) -> Mapping[StorePath, PathInfo]:
        return {}

    def nodes(self, path: StorePath) -> Iterable[Node]:
        return ()


def test_the_defaults_are_those_of_docker_tools_but_for_the_layering() -> None:
    spec = Spec.parse({})
    assert spec.created == spec.mtime == FIRST_SECOND
    assert spec.owner == Owner(0, 0, "root", "root")
    assert (spec.max_layers, spec.layering, spec.include_store_paths) == (100, "cost", True)
    assert (spec.name, spec.tag, spec.contents, spec.config, spec.warnings) == (None, None, (), {}, ())


def test_every_argument_has_its_place() -> None:
    store = EmptyStore()
    spec = Spec.parse(
        {
            "name": "Registry.example/Hello",
            "tag": "V1",
            "contents": ["hello", Path("/nix/store")],
            "closure": "other",
            "config": {"User": "me", "Cmd": ("/bin/hello",)},
            "architecture": "arm64",
            "created": "now",
            "mtime": "2026-01-31",
            "uid": 1000,
            "gid": "100",
            "uname": "user",
            "gname": "users",
            "max_layers": 5,
            "layering": "popularity",
            "extra_commands": "mkdir tmp",
            "include_store_paths": False,
            "sandbox": False,
            "tree": [Dir("/tmp", 0o1777), {"file": "/a=b:0600:1:2"}, {"symlink": "/c=d"}, {"perm": "/a:0644"}],
            "store": store,
            "search_path": "/bin",
        }
    )
    assert spec == replace(
        Spec.parse({}),
        name="registry.example/hello",
        tag="V1",
        contents=("hello", "/nix/store"),
        closure=("other",),
        config={"Cmd": ["/bin/hello"], "User": "me"},
        architecture="arm64",
        created=None,
        mtime=datetime(2026, 1, 31, tzinfo=UTC),
        uid=1000,
        gid=100,
        uname="user",
        gname="users",
        max_layers=5,
        layering="popularity",
        extra_commands="mkdir tmp",
        include_store_paths=False,
        sandbox=False,
        tree=(Dir("/tmp", 0o1777), File("/a", "b", 0o600, 1, 2), Symlink("/c", "d"), Perm("/a", 0o644)),
        store=adapt_store(store),
        search_path="/bin",
    )
    assert spec.owner == Owner(1000, 100, "user", "users")
    assert list(spec.config) == ["Cmd", "User"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("maxLayers", "did you mean max_layers?"), ("nosuch", "help() of the function lists its arguments")],
)
def test_an_unknown_argument_suggests_a_known_one(name: str, hint: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^'{name}': got no argument of that name, expected one ") as caught:
        Spec.parse({"contents": [], name: 5})
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("now", None),
        (datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2))), datetime(2026, 1, 31, 10, tzinfo=UTC)),
        (datetime(2026, 1, 31, 12, 0, 0, 5), datetime(2026, 1, 31, 12, tzinfo=UTC)),  # noqa: DTZ001 - read as UTC
        (date(2026, 1, 31), datetime(2026, 1, 31, tzinfo=UTC)),
    ],
)
@pytest.mark.parametrize("name", ["created", "mtime"])
def test_a_moment_may_be_a_text_or_pythons_own(name: str, moment: Any, expected: datetime | None) -> None:
    assert getattr(Spec.parse({name: moment}), name) == expected


def test_an_odd_key_in_the_config_is_a_warning() -> None:
    (warning,) = Spec.parse({"config": {"cmd": []}}).warnings
    assert "did you mean Cmd?" in warning


@pytest.mark.parametrize("name", ["contents", "closure", "store"])
def test_a_list_may_be_of_any_kind(name: str) -> None:
    for value in (["/a", "/b"], (Path("/a"), "/b"), iter(["/a", Path("/b")])):
        assert getattr(Spec.parse({name: value}), name) == ("/a", "/b")
    for one in ("/a", Path("/a")):
        assert getattr(Spec.parse({name: one}), name) == ("/a",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", 5),
        ("name", "no spaces"),
        ("tag", 1.0),
        ("tag", ""),
        ("contents", None),
        ("contents", 5),
        ("contents", b"hello"),
        ("contents", {"hello": 1}),
        ("contents", ["hello", 5]),
        ("contents", [None]),
        ("contents", [b"hello"]),
        ("contents", "./a\0b"),
        ("contents", ["./\ud800"]),
        ("closure", [["hello"]]),
        ("config", []),
        ("config", {"Cmd": "/bin/sh"}),
        ("config", {1: 2, "a": 3}),
        ("config", {"X": object()}),
        ("architecture", 5),
        ("architecture", "\udfff"),
        ("created", "yesterday"),
        ("created", None),
        ("created", 0),
        ("mtime", "1970-01-01T00:00:01Z\0"),
        ("mtime", True),
        ("uid", -1),
        ("uid", 2**32 - 1),
        ("uid", 1.0),
        ("uid", True),
        ("uid", "root"),
        ("uid", "-1"),
        ("uid", "٣"),
        ("uid", "9" * 5000),
        ("gid", None),
        ("uname", 5),
        ("uname", "\ud800"),
        ("gname", "a\0b"),
        ("max_layers", "100"),
        ("max_layers", 10.0),
        ("max_layers", True),
        ("layering", "none"),
        ("layering", None),
        ("layering", ["popularity_contest"]),
        ("layering", [["popularity_contest"], ["limit_layers", 0]]),
        ("layering", {}),
        ("layering", 5),
        ("layering", b"auto"),
        ("layering", "./a\0b"),
        ("layering", "./\ud800"),
        ("extra_commands", ["mkdir tmp"]),
        ("extra_commands", "mkdir \0"),
        ("include_store_paths", 1),
        ("include_store_paths", "yes"),
        ("tree", "/tmp"),
        ("tree", b"/tmp"),
        ("tree", {"dir": "/tmp"}),
        ("tree", 5),
        ("tree", [5]),
        ("tree", [{}]),
        ("tree", [{"dir": "/a", "file": "/b=c"}]),
        ("tree", [{"socket": "/a"}]),
        ("tree", [{"dir": 5}]),
        ("tree", [{"dir": "/a\0b"}]),
        ("tree", [{"file": "/a"}]),
        ("tree", [{"symlink": "/a=\ud800"}]),
        ("store", 5),
        ("store", [5]),
        ("search_path", None),
        ("sandbox", "no"),
        ("sandbox", None),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(name: str, value: Any) -> None:
    """Every value in a `Spec` has been checked."""
    with pytest.raises(InvalidArgument) as caught:
        Spec.parse({name: value})
    assert ": got " in str(caught.value)
    assert ", expected " in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_pipeline_may_be_a_list_a_value_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [["popularity_contest"], ["limit_layers", 5]]
    pipeline = Pipeline.parse(calls)
    monkeypatch.chdir(tmp_path)
    for name in ("pipeline.json", "pipeline", "auto"):
        Path(name).write_text(json.dumps(calls), encoding="utf-8")
    places = ["pipeline.json", "pipeline", "./auto", str(tmp_path / "pipeline"), Path("auto")]
    for value in (calls, (("popularity_contest",), ("limit_layers", 5)), pipeline, *places):
        assert Spec.parse({"layering": value}).layering == pipeline
    assert Spec.parse({"layering": "auto"}).layering == "auto"


def test_a_name_that_is_neither_a_strategy_nor_a_file_says_both() -> None:
    with pytest.raises(InvalidArgument) as caught:
        Spec.parse({"layering": "popularty"})
    expected = "expected one of auto, cost, popularity, shared, pinned:IMAGE, a pipeline, or a JSON file that holds one"
    assert str(caught.value) == f"layering: got 'popularty', {expected}"


def test_a_layering_may_be_pinned_to_an_image() -> None:
    for image in ("app.tar", "out/app.json", "localhost:5000/app:1", "oci:out:app:1"):
        assert Spec.parse({"layering": f"pinned:{image}"}).layering == PinnedStrategy(image)


@pytest.mark.parametrize("value", ["pinned", "pinned:"])
def test_a_pinned_layering_needs_an_image(value: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Spec.parse({"layering": value})
    assert str(caught.value) == f"layering: got '{value}' without an image, expected pinned:IMAGE"
    assert caught.value.hint == (
        "pinned:app.tar keeps the layers of an image file, and pinned:registry.example/app:1 of another image"
    )


@pytest.mark.parametrize("file", ["none.json", "no/such", ".", "/"])
def test_a_pipeline_file_that_is_not_there_is_not_found(file: str) -> None:
    if file == ".":
        file = "./"
    with pytest.raises(InputError, match=rf"^layering {re.escape(file)}: got .*, expected a layering pipeline"):
        Spec.parse({"layering": file})


@pytest.mark.parametrize(
    "data",
    [b"", b"[", b"[[", b"\xff", b"[" * 100_000, b'[["limit_layers", ' + b"9" * 5000 + b"]]", b" " * (16 << 20) + b"[]"],
    ids=lambda data: repr(data[:9]),
)
def test_a_pipeline_file_that_is_broken_or_huge_follows_no_format(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "pipeline.json").write_bytes(data)
    with pytest.raises(FormatError, match=r"pipeline\.json: got .*, expected a layering pipeline in JSON$"):
        Spec.parse({"layering": tmp_path / "pipeline.json"})


@pytest.mark.parametrize("text", ["{}", "5", "null", '"auto"', '[["revers"]]', '[["limit_layers", NaN]]'])
def test_a_pipeline_file_of_something_else_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "pipeline.json").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidArgument, match=r"^layering .*pipeline\.json: .*got .*, expected "):
        Spec.parse({"layering": str(tmp_path / "pipeline.json")})


def test_a_number_of_more_digits_than_python_prints_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"^uid: got "):
        Spec.parse({"uid": 10**5000})


def test_bytes_that_are_not_utf8_are_a_text() -> None:
    """A command line can hold such bytes; Python decodes them to surrogates from U+DC80 to U+DCFF (PEP 383)."""
    spec = Spec.parse({"contents": ["./\udcff"], "extra_commands": "touch \udc80", "uname": "\udcc3"})
    assert spec.contents == ("./\udcff",)


@pytest.mark.parametrize("number", [0, 1, 65534, 2**32 - 2])
def test_an_owner_may_be_a_number_or_its_digits(number: int) -> None:
    assert Spec.parse({"uid": number}).owner.uid == number
    assert Spec.parse({"gid": str(number)}).owner.gid == number


@pytest.mark.parametrize("name", ["layer_cache", "blob_cache"])
def test_a_cache_is_not_called_like_a_secret(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    secret = "user:password@host"
    with pytest.raises(InvalidArgument, match=rf"^{name}: got .*, expected the name of a file or folder$") as caught:
        Spec.parse({name: secret})
    assert "password" not in str(caught.value)
    Path(secret).touch()
    assert getattr(Spec.parse({name: secret}), name) == secret
