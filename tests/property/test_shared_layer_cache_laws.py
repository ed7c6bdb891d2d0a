"""Whatever a shared layer cache holds, a look-up returns what was put, or nothing."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tests.support.examples import examples
from tests.support.layer_cache import CODECS, Fact, facts
from tests.support.shared_layer_cache import CountedFolder, list_objects, open_entries

from lamina.layer_cache.cache import LayerCache
from lamina.layer_cache.shared_cache import SharedLayerCache

TRUTH = facts(4)


def _change(data: st.DataObject, content: bytes, others: list[bytes]) -> bytes:
    """Return what an object may hold after an accident: other bytes, a part, or the content of another object."""
    place = data.draw(st.integers(0, len(content)))
    changes: list[Callable[[], bytes]] = [
        lambda: data.draw(st.binary(max_size=200)),
        lambda: content[:place],
        lambda: content + data.draw(st.binary(min_size=1, max_size=3)),
        lambda: content[:place] + data.draw(st.binary(min_size=1, max_size=8)) + content[place:],
        lambda: content[:place] + data.draw(st.binary(min_size=1, max_size=8)) + content[place + 1 :],
        lambda: data.draw(st.sampled_from(others)),
        lambda: content,
    ]
    return data.draw(st.sampled_from(changes))()


def _learn(layer_cache: LayerCache, fact: Fact) -> None:
    layer_cache.put_layer(fact.inputs, fact.layer)
    for codec in CODECS:
        layer_cache.put_compressed(fact.layer.digest, codec, fact.blob(codec))


@given(st.data())
@examples(150)
def test_changed_objects_are_found_as_they_were_or_not_at_all(data: st.DataObject) -> None:
    """Invariant of `lamina.layer_cache.shared_entries`: a value that is returned for a key was written for that key."""
    with tempfile.TemporaryDirectory() as folder:
        warnings: list[str] = []
        with SharedLayerCache(None, open_entries(CountedFolder(Path(folder)), warnings), "x", warnings.append) as first:
            for fact in TRUTH:
                _learn(first, fact)
        files = list_objects(Path(folder))
        contents = [file.read_bytes() for file in files]
        changed = {file: _change(data, content, contents) for file, content in zip(files, contents, strict=True)}
        for file, content in changed.items():
            file.write_bytes(content)
        with SharedLayerCache(None, open_entries(CountedFolder(Path(folder)), warnings), "x", warnings.append) as other:
            other.look_up_layers(fact.inputs for fact in TRUTH)
            other.look_up_compressed((fact.layer.digest, codec) for fact in TRUTH for codec in CODECS)
            found = [known for fact in TRUTH for known in fact.lookups(other)]
        intact = sum(changed[file] == content for file, content in zip(files, contents, strict=True))
        assert sum(found) == intact, "what is intact is found"
        assert len(warnings) <= 1
