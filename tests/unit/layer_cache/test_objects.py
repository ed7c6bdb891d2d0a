"""The objects of a shared layer cache."""

import hashlib

import pytest
from tests.support.layer_cache import CODECS, Fact
from tests.support.shared_layer_cache import DAMAGES

from lamina.errors import FormatError
from lamina.layer_cache.encoding import (
    dump_blob_info,
    dump_layer,
    make_compressed_key,
    make_layer_key,
    make_listing_key,
)
from lamina.layer_cache.objects import dump_object, name_object, parse_object

FACT, OTHER = Fact("one"), Fact("two")
KEY, VALUE = make_layer_key(FACT.inputs.key), dump_layer(FACT.inputs, FACT.layer)
BLOB_KEY = make_compressed_key(FACT.layer.digest, CODECS[0])
BLOB_VALUE = dump_blob_info(FACT.blob(CODECS[0]))


@pytest.mark.parametrize(("key", "value"), [(KEY, VALUE), (BLOB_KEY, BLOB_VALUE)])
def test_a_value_is_parsed_again(key: bytes, value: bytes) -> None:
    assert parse_object(key, dump_object(key, value)) == value


def test_an_empty_object_is_a_removed_entry() -> None:
    assert parse_object(KEY, b"") is None


def test_the_name_is_a_folder_of_the_kind_and_a_hash_of_the_key() -> None:
    assert name_object(KEY) == f"layers/{hashlib.sha256(KEY).hexdigest()}"
    assert name_object(BLOB_KEY) == f"compressed-layers/{hashlib.sha256(BLOB_KEY).hexdigest()}"


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_object_is_refused(damage: object) -> None:
    assert callable(damage)
    with pytest.raises(FormatError, match=r"^got .*, expected an object of a layer cache$"):
        parse_object(KEY, damage(dump_object(KEY, VALUE)))


def test_the_object_of_another_key_is_refused() -> None:
    other = make_layer_key(OTHER.inputs.key)
    with pytest.raises(FormatError):
        parse_object(other, dump_object(KEY, VALUE))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (KEY, VALUE[:40]),
        (KEY, b""),
        (KEY, dump_layer(OTHER.inputs, FACT.layer)),
        (BLOB_KEY, BLOB_VALUE[:-1]),
        (BLOB_KEY, BLOB_VALUE + b"x"),
        (make_listing_key(b"/", FACT.layer.digest), BLOB_VALUE),
    ],
)
def test_a_value_that_the_key_cannot_have_is_refused_with_a_right_checksum_too(key: bytes, value: bytes) -> None:
    with pytest.raises(FormatError):
        parse_object(key, dump_object(key, value))
