"""Laws of closure graphs."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.factories import graphs
from tests.unit.formats.test_closure_graph import A, item, shape

from lamina.core.pathinfo import PathInfo
from lamina.errors import FormatError
from lamina.formats import closure_graph

KEYS = st.one_of(
    st.text(max_size=5),
    st.sampled_from(["path", "narHash", "narSize", "references", "info", "storeDir", "version", "valid", A, A[11:]]),
)
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from([A, A[11:], "/nix/store", "sha256:x", item()["narHash"], item()]),
)
DOCUMENTS = st.recursive(
    VALUES, lambda values: st.one_of(st.lists(values, max_size=4), st.dictionaries(KEYS, values, max_size=4))
)


def parses(text: str | bytes) -> bool:
    try:
        closure_graph.parse(text)
    except FormatError:
        return False
    return True


@given(DOCUMENTS)
@settings(deadline=None, max_examples=200)
def test_any_json_is_refused_or_read(document: Any) -> None:
    """Anything else raises `FormatError`."""
    parses(json.dumps(document))


@given(st.one_of(st.text(), st.binary()))
@settings(deadline=None, max_examples=100)
def test_garbage_raises_format_error_and_nothing_else(text: str | bytes) -> None:
    parses(text)


@given(st.sampled_from(["nix-2.8", "nix-2.34-format-2", "attrs"]), st.data())
@settings(deadline=None, max_examples=100)
def test_a_graph_with_another_value_somewhere_is_refused_or_read(name: str, data: st.DataObject) -> None:
    document = shape(name)
    place = document
    while True:
        key = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], dict | list) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(DOCUMENTS)
    parses(json.dumps(document))


@given(graphs())
@settings(deadline=None, max_examples=100)
def test_every_shape_says_the_same(infos: tuple[PathInfo, ...]) -> None:
    """Every shape Nix has used gives the same `PathInfo`s."""

    def fields(info: PathInfo, *, base: bool) -> dict[str, Any]:
        references = [reference.base if base else str(reference) for reference in sorted(info.references)]
        return {"narHash": info.nar_hash.sri, "narSize": info.nar_size, "references": references}

    entries = [{"path": str(info.path), **fields(info, base=False)} for info in infos]
    documents: list[Any] = [
        entries,
        {str(info.path): fields(info, base=False) for info in infos},
        {"info": {info.path.base: fields(info, base=True) for info in infos}, "storeDir": "/nix/store", "version": 2},
    ]
    if infos:
        documents.append({"graph": entries, "name": "x", "outputs": {"out": "/nix/store"}, "list": [{"a": 1}]})
    for document in documents:
        assert closure_graph.parse(json.dumps(document)) == infos
