"""Laws of the ledger: what a layer's key depends on, and that what was learnt is what is known."""

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.test_tar_laws import OWNERS

from lamina.core.names import NIX32, Digest, StorePath
from lamina.errors import FormatError
from lamina.layer_cache.cache import Ledger
from lamina.layer_cache.key import Recipe
from lamina.system.transfer import Measure

LAW = settings(deadline=None, max_examples=200)
FILES = settings(deadline=None, max_examples=40)

DIGESTS = st.binary(min_size=32, max_size=32).map(Digest)
PATHS = st.builds(
    "{}-{}".format, st.text(NIX32, min_size=32, max_size=32), st.text("azAZ09+-._?=", min_size=1, max_size=9)
).map(StorePath.parse_base)
SIZES = st.one_of(st.integers(0, 1000), st.integers(0, 2**63 - 1))
CONTENTS = st.lists(st.tuples(PATHS, DIGESTS, SIZES), max_size=5).map(tuple)
RECIPES = st.builds(Recipe, OWNERS, st.integers(-(1 << 36), 1 << 36), CONTENTS)
MEASURES = st.builds(Measure, DIGESTS, SIZES)
PLACES = st.tuples(st.binary(max_size=20), DIGESTS)


@given(RECIPES)
@LAW
def test_a_recipe_reads_back_what_it_dumps(recipe: Recipe) -> None:
    """``parse(dump(x)) == x``."""
    assert Recipe.parse(recipe.dump()) == recipe
    assert recipe.dump().isascii()


@given(RECIPES, RECIPES)
@LAW
def test_only_equal_recipes_have_equal_keys(one: Recipe, other: Recipe) -> None:
    """The layer key is the hash of the tar rules' version, the ownership and mtime, and for each path in order its
    name, NAR hash and NAR size.
    """
    assert (one.key == other.key) == (one == other)


@given(RECIPES, st.data())
@LAW
def test_what_is_not_as_it_was_dumped_is_no_recipe(recipe: Recipe, data: st.DataObject) -> None:
    """Garbage raises `FormatError` and nothing else, and what is read back has the key that it had."""
    dumped = bytearray(recipe.dump())
    place = data.draw(st.integers(0, len(dumped) - 1))
    dumped[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(FormatError):
        assert Recipe.parse(bytes(dumped)).dump() == dumped


@given(st.binary())
@LAW
def test_garbage_is_no_recipe(garbage: bytes) -> None:
    """Garbage raises `FormatError` and nothing else."""
    try:
        Recipe.parse(garbage)
    except FormatError:
        return
    raise AssertionError(garbage)


@given(
    st.dictionaries(RECIPES, MEASURES, max_size=5),
    st.dictionaries(st.tuples(DIGESTS, st.text()), MEASURES, max_size=5),
    st.dictionaries(PLACES, st.binary(), max_size=5),
)
@FILES
def test_what_is_learnt_is_what_is_known(
    layers: dict[Recipe, Measure],
    compressed: dict[tuple[Digest, str], Measure],
    listings: dict[tuple[bytes, Digest], bytes],
) -> None:
    """Bit for bit, in the same run and in the next."""
    last = {top: (top, nar_hash) for top, nar_hash in listings}

    def check(ledger: Ledger, places: dict[bytes, tuple[bytes, Digest]]) -> None:
        assert {recipe: ledger.layer(recipe) for recipe in layers} == layers
        assert {key: ledger.compressed(*key) for key in compressed} == compressed
        assert ledger.listings(listings) == {place: listings[place] for place in places.values()}

    def learn(ledger: Ledger) -> None:
        for recipe, measure in layers.items():
            ledger.learn_layer(recipe, measure)
        for key, measure in compressed.items():
            ledger.learn_compressed(*key, measure)
        for place, listing in listings.items():
            ledger.learn_listing(*place, listing)

    with tempfile.TemporaryDirectory() as folder:
        _run(folder, learn)
        _run(folder, lambda ledger: check(ledger, last))
        _run(folder, lambda ledger: _same(dict(ledger.entries()), layers))


def _run(folder: str, work: Callable[[Ledger], None]) -> None:
    warnings: list[str] = []
    with Ledger.open(Path(folder, "ledger"), warnings.append) as ledger:
        work(ledger)
    assert warnings == []


def _same(one: object, other: object) -> None:
    assert one == other
