"""Laws of closure graphs."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.support.factories import graphs
from tests.unit.formats.test_closure_graph import A, item, load_sample

from lamina.core.names import StorePath
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


def check(text: str | bytes) -> None:
    """Check that a document is refused, or gives valid infos of different paths."""
    try:
        infos = closure_graph.parse(text)
    except FormatError:
        return
    assert len({info.path for info in infos}) == len(infos)
    assert all(info.nar_size > 0 and all(map(is_store_path, (info.path, *info.references))) for info in infos)


def is_store_path(path: StorePath) -> bool:
    return StorePath.parse(str(path)) == path


@given(DOCUMENTS)
@examples(200)
def test_any_json_is_refused_or_parsed(document: Any) -> None:
    """Invalid documents raise `FormatError` and nothing else."""
    check(json.dumps(document))


@given(st.one_of(st.text(), st.binary()))
@examples(100)
def test_garbage_raises_format_error_and_nothing_else(text: str | bytes) -> None:
    check(text)


@given(st.sampled_from(["nix-2.8", "nix-2.34-format-2", "attrs"]), st.data())
@examples(100)
def test_a_graph_with_a_changed_value_is_refused_or_parsed(name: str, data: st.DataObject) -> None:
    document = load_sample(name)
    container = document
    while True:
        key = data.draw(st.sampled_from(list(container) if isinstance(container, dict) else range(len(container))))
        if not isinstance(container[key], dict | list) or not container[key] or data.draw(st.booleans()):
            break
        container = container[key]
    container[key] = data.draw(DOCUMENTS)
    check(json.dumps(document))


@given(graphs())
@examples(100)
def test_every_format_gives_the_same_infos(infos: tuple[PathInfo, ...]) -> None:
    """Every format that Nix has used gives the same `PathInfo` objects."""

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
