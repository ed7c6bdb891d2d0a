"""Read the NARs and narinfos of a store's paths, for a push or an export.

Invariant: `copy_nar` raises an error unless the bytes that it wrote match the path info.
"""

from __future__ import annotations

from collections.abc import Callable

from lamina.core.nodes import Extent
from lamina.core.pathinfo import PathInfo
from lamina.formats import nar
from lamina.formats.narinfo import NarInfo
from lamina.stores.integrity import check_nar_hash
from lamina.stores.store import Store
from lamina.system.transfer import HashingWriter, copy


def find_narinfo(store: Store, info: PathInfo) -> NarInfo:
    """Return the narinfo of a path, with its signatures, deriver and content address if ``store`` knows them.

    Its URL, compression and file hash have no meaning here.
    """
    narinfo = store.narinfo(info.path)
    return narinfo if narinfo and narinfo.info == info else NarInfo(info, "", "none", ())


def copy_nar(store: Store, info: PathInfo, write: Callable[[memoryview], object]) -> None:
    """Pass the NAR of a path in ``store`` to ``write``.

    Raises `IntegrityError` after the last byte if the NAR does not match ``info``.
    """
    location, writer = store.location(info.path), HashingWriter(write)
    copy((location,) if isinstance(location, Extent) else nar.dump(store.nodes(info.path)), writer)
    check_nar_hash(info, writer.blob_info)
