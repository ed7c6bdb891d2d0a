"""The inputs of a layer, and the key that is made from them."""

import hashlib

import pytest
from tests.support.layer_cache import Fact, digest

from lamina.core.names import StorePath
from lamina.errors import FormatError
from lamina.formats.tar import Owner
from lamina.layer_cache.key import LayerInputs


def test_the_layer_key_is_the_hash_of_the_dumped_inputs() -> None:
    paths = [StorePath.parse_base(digit * 32 + name) for digit, name in (("0", "-A"), ("1", "-B"))]
    inputs = LayerInputs(Owner(1, 2, "é", "\udcff"), -3, ((paths[0], digest("a"), 4), (paths[1], digest("b"), 5)))
    a, b = hashlib.sha256(b"a").hexdigest(), hashlib.sha256(b"b").hexdigest()
    assert inputs.dump().decode() == (
        '{"rules":1,"uid":1,"gid":2,"uname":"\\u00e9","gname":"\\udcff","mtime":-3,"paths":['
        f'["{"0" * 32}-A","sha256:{a}",4],["{"1" * 32}-B","sha256:{b}",5]]}}'
    )
    assert inputs.key.raw == hashlib.sha256(inputs.dump()).digest()


INPUTS = Fact("one").inputs.dump()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"1",
        b"\xff",
        INPUTS + b"\n",
        INPUTS.replace(b'"rules":1', b'"rules":2'),
        INPUTS.replace(b'"uid":0', b'"uid":true'),
        INPUTS.replace(b'"uid":0', b'"uid":"0"'),
        INPUTS.replace(b'"mtime":1', b'"mtime":1.0'),
        INPUTS.replace(b'"root"', b"7"),
        INPUTS.replace(b'"gid":0,', b""),
        INPUTS.replace(b"sha256:", b"sha512:"),
        INPUTS.replace(b'["', b'["/'),
        INPUTS.replace(b",3]]", b"]]"),
        b'{"paths":' * 100_000,
        b'{"uid":' + b"1" * 5000 + b"}",
    ],
)  # fmt: skip
def test_malformed_inputs_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="layer inputs: got"):
        LayerInputs.parse(data)
