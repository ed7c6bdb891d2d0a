"""The annotations in which a manifest says what a layer of store paths was made from.

    lamina.layer.key           the layer key: the digest of everything that the layer's bytes depend on
    lamina.layer.diff-id       the digest of the uncompressed layer
    lamina.layer.size          the size of the uncompressed layer in bytes
    lamina.layer.compression   the codec and its level: none, gzip:2, zstd:3

A machine without a layer cache that is about to make a layer with the same key can use the blob instead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from lamina.core.names import Digest
from lamina.errors import InvalidArgument
from lamina.formats.oci import Descriptor

_PREFIX = "lamina.layer."
_KEY, _DIFF_ID, _SIZE, _COMPRESSION = (f"{_PREFIX}{word}" for word in ("key", "diff-id", "size", "compression"))


@dataclass(frozen=True, slots=True)
class LayerStatement:
    """The statement of a manifest about one of its layers.

    Attributes:
        key: the layer key.
        diff_id: the digest of the uncompressed layer.
        size: its size in bytes.
        compression: the codec of the blob and its level.
    """

    key: Digest
    diff_id: Digest
    size: int
    compression: str

    def dump(self) -> tuple[tuple[str, str], ...]:
        """Return the annotations of the layer's descriptor."""
        return (
            (_KEY, str(self.key)),
            (_DIFF_ID, str(self.diff_id)),
            (_SIZE, str(self.size)),
            (_COMPRESSION, self.compression),
        )

    @classmethod
    def find(cls, descriptor: Descriptor) -> LayerStatement | None:
        """Return what ``descriptor`` states; None if it has no valid annotations."""
        annotations = dict(descriptor.annotations)
        size, compression = annotations.get(_SIZE, ""), annotations.get(_COMPRESSION, "")
        if not re.fullmatch("[0-9]{1,18}", size):
            return None
        try:
            key, diff_id = (Digest.parse_oci(annotations.get(name, "")) for name in (_KEY, _DIFF_ID))
        except InvalidArgument:
            return None
        return cls(key, diff_id, int(size), compression)
