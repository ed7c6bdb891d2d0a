"""Laws of the layer cache: what a layer's key depends on, and that lookups return what was put."""

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from tests.property.test_tar_laws import OWNERS
from tests.support.examples import examples

from lamina.core.names import NIX32, Digest, StorePath
from lamina.errors import FormatError
from lamina.layer_cache.cache import LayerCache
from lamina.layer_cache.key import LayerInputs
from lamina.system.transfer import BlobInfo

LAW = examples(200)
FILES = examples(40)

DIGESTS = st.binary(min_size=32, max_size=32).map(Digest)
PATHS = st.builds(
    "{}-{}".format, st.text(NIX32, min_size=32, max_size=32), st.text("azAZ09+-._?=", min_size=1, max_size=9)
).map(StorePath.parse_base)
SIZES = st.one_of(st.integers(0, 1000), st.integers(0, 2**63 - 1))
CONTENTS = st.lists(st.tuples(PATHS, DIGESTS, SIZES), max_size=5).map(tuple)
INPUTS = st.builds(LayerInputs, OWNERS, st.integers(-(1 << 36), 1 << 36), CONTENTS)
BLOB_INFOS = st.builds(BlobInfo, DIGESTS, SIZES)
LISTING_KEYS = st.tuples(st.binary(max_size=20), DIGESTS)


@given(INPUTS)
@LAW
def test_inputs_read_back_what_they_dump(inputs: LayerInputs) -> None:
    """``parse(dump(x)) == x``."""
    assert LayerInputs.parse(inputs.dump()) == inputs
    assert inputs.dump().isascii()


@given(INPUTS, INPUTS)
@LAW
def test_only_equal_inputs_have_equal_keys(one: LayerInputs, other: LayerInputs) -> None:
    """The layer key is the hash of everything that the layer's bytes depend on.

    That is the tar rules' version, ownership and mtime, and for each path in order its name, NAR hash and NAR size.
    """
    assert (one.key == other.key) == (one == other)


@given(INPUTS, st.data())
@LAW
def test_only_exactly_dumped_inputs_are_parsed(inputs: LayerInputs, data: st.DataObject) -> None:
    """Changed bytes raise `FormatError` and nothing else, or parse to inputs that dump to the same bytes."""
    dumped = bytearray(inputs.dump())
    offset = data.draw(st.integers(0, len(dumped) - 1))
    dumped[offset : offset + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(FormatError):
        assert LayerInputs.parse(bytes(dumped)).dump() == dumped


@given(st.binary())
@LAW
def test_garbage_is_refused(garbage: bytes) -> None:
    """Arbitrary bytes raise `FormatError` and nothing else."""
    try:
        LayerInputs.parse(garbage)
    except FormatError:
        return
    raise AssertionError(garbage)


@given(
    st.dictionaries(INPUTS, BLOB_INFOS, max_size=5),
    st.dictionaries(st.tuples(DIGESTS, st.text()), BLOB_INFOS, max_size=5),
    st.dictionaries(LISTING_KEYS, st.binary(), max_size=5),
)
@FILES
def test_lookups_return_what_was_put(
    layers: dict[LayerInputs, BlobInfo],
    compressed: dict[tuple[Digest, str], BlobInfo],
    listings: dict[tuple[bytes, Digest], bytes],
) -> None:
    """An entry is found bit for bit, in the same run and in the next."""

    def check(layer_cache: LayerCache) -> None:
        assert {inputs: layer_cache.get_layer(inputs) for inputs in layers} == layers
        assert {key: layer_cache.get_compressed(*key) for key in compressed} == compressed
        assert layer_cache.get_listings(listings) == listings

    def put(layer_cache: LayerCache) -> None:
        for inputs, blob_info in layers.items():
            layer_cache.put_layer(inputs, blob_info)
        for codec_key, blob_info in compressed.items():
            layer_cache.put_compressed(*codec_key, blob_info)
        for key, listing in listings.items():
            layer_cache.put_listing(*key, listing)

    with tempfile.TemporaryDirectory() as folder:
        _run(folder, put)
        _run(folder, check)
        _run(folder, lambda layer_cache: _assert_equal(dict(layer_cache.entries()), layers))


def _run(folder: str, action: Callable[[LayerCache], None]) -> None:
    warnings: list[str] = []
    with LayerCache.open(Path(folder, "layer_cache"), warnings.append) as layer_cache:
        action(layer_cache)
    assert warnings == []


def _assert_equal(one: object, other: object) -> None:
    assert one == other
