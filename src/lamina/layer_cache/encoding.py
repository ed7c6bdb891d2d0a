"""The keys and values of the entries of a layer cache, as bytes.

A key begins with the kind of its entry. The value of a compressed layer is a digest and a size. The value of a layer is
the same, followed by the layer's inputs. The value of a plan is a number of four bytes for each item.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

from lamina.core.names import Digest
from lamina.layer_cache.key import LayerInputs
from lamina.system.transfer import BlobInfo

LAYER, COMPRESSED, LISTING, PLAN = b"layer ", b"compressed ", b"listing ", b"plan "
CLAIM = b"claim "
_BLOB_INFO = struct.Struct(">32sQ")


def make_layer_key(layer_key: Digest) -> bytes:
    """Return the key of a layer."""
    return LAYER + layer_key.raw


def make_compressed_key(diff_id: Digest, codec: str) -> bytes:
    """Return the key of the layer ``diff_id`` compressed by ``codec``."""
    return COMPRESSED + diff_id.raw + codec.encode("utf-8", "surrogatepass")


def make_listing_key(top: bytes, nar_hash: Digest) -> bytes:
    """Return the key of the listing of the store path at ``top``."""
    return LISTING + nar_hash.raw + top


def make_plan_key(plan_key: Digest) -> bytes:
    """Return the key of a plan."""
    return PLAN + plan_key.raw


def make_claim_key(layer_key: Digest, codec: str, home: str) -> bytes:
    """Return the key of the claim to a layer that is compressed by ``codec`` and goes to the place ``home``."""
    return CLAIM + _hash(b"%b%b\n%b" % (layer_key.raw, codec.encode(), home.encode("utf-8", "surrogatepass"))).raw


def dump_blob_info(blob_info: BlobInfo) -> bytes:
    """Return a digest and a size as bytes."""
    return _BLOB_INFO.pack(blob_info.digest.raw, blob_info.size)


def dump_layer(inputs: LayerInputs, blob_info: BlobInfo) -> bytes:
    """Return the value of a layer."""
    return dump_blob_info(blob_info) + inputs.dump()


def parse_blob_info(value: bytes) -> BlobInfo:
    """Parse the value of a layer or of a compressed layer."""
    digest, size = _BLOB_INFO.unpack_from(value)
    return BlobInfo(Digest(digest), size)


def parse_layer(value: bytes) -> tuple[LayerInputs, BlobInfo]:
    """Parse the value of a layer. Raises `FormatError` if it was made by another version of the tar rules."""
    return LayerInputs.parse(value[_BLOB_INFO.size :]), parse_blob_info(value)


def dump_plan(layers: Sequence[int]) -> bytes:
    """Return the value of a plan: the number of the layer of each item."""
    return struct.pack(f">{len(layers)}I", *layers)


def parse_plan(value: bytes) -> tuple[int, ...] | None:
    """Parse the value of a plan; return None if it cannot be one."""
    return None if len(value) % 4 else struct.unpack(f">{len(value) // 4}I", value)


def is_valid_value(key: bytes, value: bytes) -> bool:
    """Return whether ``value`` can be that of the layer or compressed layer ``key``. The digest in it is not checked.

    The key of a layer is the hash of its inputs, so a value with other inputs is not valid.
    """
    if key.startswith(LAYER):
        return len(value) > _BLOB_INFO.size and make_layer_key(_hash(value[_BLOB_INFO.size :])) == key
    return key.startswith(COMPRESSED) and len(value) == _BLOB_INFO.size


def _hash(data: bytes) -> Digest:
    return Digest(hashlib.sha256(data).digest())
