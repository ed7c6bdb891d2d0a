"""A manifest says what its layers of store paths were made from, and a wrong annotation counts as none."""

import pytest

from lamina.core.names import Digest
from lamina.formats.layer_annotations import LayerStatement
from lamina.formats.oci import LAYER_TYPE, Descriptor, dump_manifest, parse_layers

KEY, DIFF_ID, BLOB = (Digest(bytes([number]) * 32) for number in (1, 2, 3))
STATEMENT = LayerStatement(KEY, DIFF_ID, 4096, "gzip:2")
DESCRIPTOR = Descriptor(LAYER_TYPE, BLOB, 99, STATEMENT.dump())


def test_what_a_manifest_states_is_read_again() -> None:
    plain = Descriptor(LAYER_TYPE, BLOB, 99)
    manifest = dump_manifest(plain, [DESCRIPTOR, plain])
    assert parse_layers(manifest, "manifest") == (DESCRIPTOR, plain)
    assert [LayerStatement.find(layer) for layer in parse_layers(manifest, "manifest")] == [STATEMENT, None]
    assert dict(DESCRIPTOR.annotations) == {
        "lamina.layer.key": str(KEY),
        "lamina.layer.diff-id": str(DIFF_ID),
        "lamina.layer.size": "4096",
        "lamina.layer.compression": "gzip:2",
    }


@pytest.mark.parametrize("name", ["key", "diff-id", "size"])
@pytest.mark.parametrize("value", ["", "-1", "sha256:00", "x" * 1000, "1" * 30])
def test_a_wrong_annotation_states_nothing(name: str, value: str) -> None:
    annotations = dict(STATEMENT.dump()) | {f"lamina.layer.{name}": value}
    assert LayerStatement.find(Descriptor(LAYER_TYPE, BLOB, 99, tuple(annotations.items()))) is None


def test_annotations_that_are_no_strings_are_left_out() -> None:
    manifest = b'{"layers": [{"mediaType": "x", "digest": "%s", "size": 1, "annotations": {"a": 1, "b": "c"}}]}'
    (layer,) = parse_layers(manifest % str(BLOB).encode(), "manifest")
    assert layer.annotations == (("b", "c"),)
