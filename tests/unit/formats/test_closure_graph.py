"""Closure graphs: all formats that Nix has used, and invalid documents."""

import json
from typing import Any

import pytest
from tests.support.paths import GOLDEN

from lamina.core.closure import Closure
from lamina.core.names import Digest, StorePath
from lamina.core.pathinfo import PathInfo
from lamina.errors import FormatError
from lamina.formats import closure_graph

SHAPES = ("nix-2.8", "nix-2.26", "nix-2.34-format-1", "nix-2.34-format-2", "exported", "attrs")
HASH = "sha256-bkYphNLgq5on51RlM1cdSO3Pq0EBDX2oM2aL7otOt9s="
A, B = (f"/nix/store/{digit * 32}-{digit}" for digit in "ab")


def load_sample(name: str) -> Any:
    return json.loads((GOLDEN / f"graph-{name}.json").read_text(encoding="utf-8"))


def item(path: str = A, **fields: Any) -> dict[str, Any]:
    return {"path": path, "narHash": HASH, "narSize": 96, "references": []} | fields


def parse(document: Any) -> tuple[PathInfo, ...]:
    return closure_graph.parse(json.dumps(document))


# --- formats


@pytest.mark.parametrize("name", SHAPES)
def test_every_format_gives_the_same_infos(name: str) -> None:
    """Every format that Nix has used gives the same `PathInfo` objects."""
    found = closure_graph.parse((GOLDEN / f"graph-{name}.json").read_bytes())
    assert Closure.of(found) == Closure.of(closure_graph.parse((GOLDEN / "graph-nix-2.8.json").read_bytes()))


def test_a_format_gives_these_infos() -> None:
    found = {info.path.name + info.path.hash[:2]: info for info in parse(load_sample("nix-2.8"))}
    assert set(found) == {
        "hello-1.0md",
        "greeting-1.0fx",
        "manual-1.03l",
        "phrases-1.0h8",
        "languages-1.0ms",
        "licence-1.0qz",
    }
    assert found["phrases-1.0h8"] == PathInfo(
        StorePath.parse("/nix/store/h80b037lwp0kpvwm0amfqb91wwljp4b7-phrases-1.0"),
        Digest.parse(HASH),
        4928,
        frozenset({found["languages-1.0ms"].path, found["licence-1.0qz"].path}),
    )
    assert found["hello-1.0md"].path in found["hello-1.0md"].references


def test_the_samples_differ_in_format() -> None:
    """The samples have full paths and base names, SRI and base 32, lists and objects."""
    assert isinstance(load_sample("nix-2.8"), list)
    assert all(key.startswith("/nix/store/") for key in load_sample("nix-2.26"))
    assert all("/" not in key for key in load_sample("nix-2.34-format-2")["info"])
    assert all(entry["narHash"].startswith("sha256:") for entry in load_sample("exported"))
    assert load_sample("attrs")["graph"] == load_sample("exported")


def test_infos_come_in_the_order_of_the_document() -> None:
    assert [str(info.path) for info in parse([item(B), item(A)])] == [B, A]
    assert [str(info.path) for info in parse({B: item(), A: item()})] == [B, A]


@pytest.mark.parametrize("document", [[], {}, {"info": {}, "storeDir": "/nix/store", "version": 2}])
def test_an_empty_graph_is_empty(document: Any) -> None:
    assert parse(document) == ()


def test_attrs_may_hold_several_graphs_that_overlap() -> None:
    both = parse({"one": [item(A)], "two": [item(B, references=[A]), item(A)], "outputs": {}})
    assert [str(info.path) for info in both] == [A, B]


def test_unknown_keys_are_ignored() -> None:
    assert parse([item(ca=None, closureSize=5, valid=True, weather="fine")]) == parse([item()])


# --- garbage


@pytest.mark.parametrize("twice", [item(A, narSize=97), item(A, references=[A])])
def test_a_duplicate_path_must_have_equal_infos(twice: Any) -> None:
    assert parse([item(A), item(A)]) == parse([item(A)])
    with pytest.raises(FormatError, match="two different entries for one path"):
        parse([item(A), twice])
    with pytest.raises(FormatError, match="two different entries for one path"):
        parse({"one": [item(A)], "two": [twice]})


@pytest.mark.parametrize(
    "fields",
    [
        {"narHash": None},
        {"narHash": 5},
        {"narHash": ""},
        {"narHash": "sha512:x"},
        {"narHash": {"algorithm": "sha256"}},
        {"narSize": None},
        {"narSize": 0},
        {"narSize": -1},
        {"narSize": True},
        {"narSize": 1.0},
        {"narSize": "96"},
        {"narSize": 1 << 63},
        {"narSize": 10**4000},
        {"references": None},
        {"references": A},
        {"references": {A: 1}},
        {"references": [None]},
        {"references": [A + "/bin"]},
        {"references": ["/etc/passwd"]},
        {"references": ["glibc"]},
        {"path": None},
        {"path": ["x"]},
        {"path": ""},
        {"path": "/nix/store"},
        {"path": "\ud800\n\x1b[2J"},
        {"path": "\ud800\n\x1b[2J", "narHash": None},
    ],
    ids=lambda fields: str(fields)[:40],
)
def test_an_invalid_field_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(FormatError) as caught:
        parse([item(**fields)])
    message = str(caught.value)
    assert message.startswith("closure graph: ")
    assert message.isprintable()


@pytest.mark.parametrize("key", ["path", "narHash", "narSize", "references"])
def test_a_missing_field_is_refused(key: str) -> None:
    without = item()
    del without[key]
    with pytest.raises(FormatError):
        parse([without])


@pytest.mark.parametrize(
    "document",
    [
        None,
        True,
        5,
        "x",
        [None],
        [[]],
        [[item()]],
        {"x": 1},
        {A: None},  # Nix 2.26 and later print this for an invalid path
        {A: []},
        {A: item(), "x": item()},
        {"info": {A: item()}, "storeDir": "/gnu/store"},
        {"info": {A: None}, "storeDir": "/nix/store", "version": 2},
        {"graph": []},
        {"graph": [{"path": A}]},
        {"graph": [item(), None]},
    ],
    ids=str,
)
def test_other_documents_are_refused(document: Any) -> None:
    with pytest.raises(FormatError, match=r"^closure graph: "):
        parse(document)


def test_a_path_without_an_object_may_be_invalid() -> None:
    with pytest.raises(FormatError, match=r"is the path valid\?"):
        parse({A: None})


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"\x00",
        "[" * 100_000,
        '{"a":' * 100_000,
        "[" * 900 + "]" * 900,
        "1" * 5000,  # more digits than Python reads
        "NaN",
        '"\\ud800"',
        "/nix/store/x\n\n0\n",  # the classic form of exportReferencesGraph
    ],
    ids=lambda text: repr(text[:12]),
)
def test_invalid_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(FormatError, match=r"^closure graph: "):
        closure_graph.parse(text)


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_may_be_in_any_unicode(codec: str) -> None:
    assert closure_graph.parse(json.dumps([item()]).encode(codec)) == parse([item()])
