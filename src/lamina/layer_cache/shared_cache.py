"""A layer cache that several machines share, with the file of this machine in front of it.

What the file knows is not asked for again. What was found in the shared place is added to the file, and what this
machine learns or uses is written to the shared place when the layer cache is closed. A place that cannot be used costs
a warning.
"""

from __future__ import annotations

import hashlib
import struct
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from lamina.core.names import Digest
from lamina.layer_cache.cache import MAX_SIZE, LayerCache, Warn, open_database
from lamina.layer_cache.claims import Claim
from lamina.layer_cache.encoding import COMPRESSED, LAYER, make_compressed_key, make_layer_key
from lamina.layer_cache.key import LayerInputs
from lamina.layer_cache.shared_entries import SharedEntries

REFRESH_INTERVAL = 30 * 24 * 60 * 60
"""After this many seconds, an entry in use is written again, so that rules that delete old objects keep it."""
# No process runs for longer, in seconds; a later time comes from a clock that was wrong.
_MAX_DURATION = 24 * 60 * 60
# Marks an entry of the file that the shared place has too. The value is the time when that was seen or written.
_SHARED = b"shared "
_TIME = struct.Struct(">Q")


class SharedLayerCache(LayerCache):
    """The layer cache of this machine, in front of one that several machines share.

    Layers and compressed layers are shared. Listings are not, because they hold the modification times of one machine.
    Plans are not, because making one takes about as long as a few requests.

    Args:
        file: The SQLite file of this machine; None for none.
        shared: The entries that are shared.
        url: Where these are. The file remembers, for each URL, what is known to be there.
        warn: Receives warnings about the file.
        now: The current time in seconds since 1970; None for the clock's time.
    """

    def __init__(
        self, file: Path | None, shared: SharedEntries, url: str, warn: Warn, now: float | None = None
    ) -> None:
        super().__init__(open_database(file, warn), MAX_SIZE, time.time() if now is None else now)
        self._shared = shared
        self._url = url.encode("utf-8", "surrogatepass")
        # What was found or learnt while the file cannot be written, and so does not remember it.
        self._known: dict[bytes, bytes] = {}
        # The entries to write to the shared place; None for those that are wrong.
        self._to_share: dict[bytes, bytes | None] = {}

    def look_up_layers(self, requested: Iterable[LayerInputs]) -> None:
        """Ask for those of the ``requested`` layers that this machine lacks."""
        self._look_up([make_layer_key(inputs.key) for inputs in requested])

    def look_up_compressed(self, requested: Iterable[tuple[Digest, str]]) -> None:
        """Ask for those of the ``requested`` compressed layers that this machine lacks."""
        self._look_up([make_compressed_key(diff_id, codec) for diff_id, codec in requested])

    def _get_many(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        values = super()._get_many(keys)
        with self._lock:
            return {key: self._known[key] for key in keys if key in self._known} | values

    def _claim(self, key: bytes, claim: Claim) -> bool:
        # The shared place alone has claims.
        return self._shared.claim(key, claim)

    def _release(self, key: bytes, claimant: str) -> None:
        self._shared.release(key, claimant)

    def flush(self) -> None:
        """Write the new entries to both places. This raises nothing."""
        with self._lock:
            to_share, self._to_share = self._to_share, {}
        written = self._shared.put_many(to_share)
        self._mark([key for key in written if to_share[key] is not None])
        super().flush()

    def close(self) -> None:
        """Write the new entries to both places, and close them. This raises nothing and may be called again."""
        self.flush()
        self._close()

    def __exit__(self, *failure: object) -> None:
        # After an interrupt, nobody wants to wait for the network.
        _, error, _ = failure
        if error is None or isinstance(error, Exception):
            self.close()
        else:
            self._close()

    def _close(self) -> None:
        self._shared.close()
        super().close()

    def _look_up(self, keys: Sequence[bytes]) -> None:
        local = self._get_many(keys)
        marked = self._find_marked(list(local))
        found = self._shared.get_many({*keys} - local.keys())
        with self._lock:
            for key, value in found.items():
                self._remember(key, value)
            for key, value in local.items():
                if key not in marked:
                    self._to_share.setdefault(key, value)
        self._mark(list(found))

    def _put(self, key: bytes, value: bytes) -> None:
        if not key.startswith((LAYER, COMPRESSED)):
            super()._put(key, value)
            return
        with self._lock:
            self._remember(key, value)
            self._to_share[key] = value

    def _remember(self, key: bytes, value: bytes) -> None:
        super()._put(key, value)
        if not self._database.is_writable:
            self._known[key] = value

    def _remove(self, key: bytes) -> None:
        super()._remove(key)
        if key.startswith((LAYER, COMPRESSED)):
            with self._lock:
                self._known.pop(key, None)
                self._to_share[key] = None

    def _mark(self, keys: Sequence[bytes]) -> None:
        for key in keys:
            super()._put(self._make_mark(key), _TIME.pack(self._now))

    def _find_marked(self, keys: Sequence[bytes]) -> set[bytes]:
        """Return those of ``keys`` that the shared place was seen to have lately."""
        marks = {self._make_mark(key): key for key in keys}
        found = super()._get_many(list(marks))
        return {marks[mark] for mark, value in found.items() if self._is_recent(value)}

    def _is_recent(self, value: bytes) -> bool:
        (seen,) = _TIME.unpack(value)
        # It may be later than the time of this process, because another one saw it that began later.
        return bool(-_MAX_DURATION <= self._now - seen < REFRESH_INTERVAL)

    def _make_mark(self, key: bytes) -> bytes:
        return _SHARED + hashlib.sha256(b"%d %b%b" % (len(self._url), self._url, key)).digest()
