"""Claims in a layer cache: who makes a layer just now, so that another batch waits for it instead of making it too.

A claim is only a help. Where it cannot be written or read, it counts as granted, and the worst that follows is that a
layer is made twice. It ends by itself, because the process that holds it may have been killed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_MIN_SECONDS, _MAX_SECONDS = 20, 3600
# Few workers make a layer more slowly than this, in bytes of its NARs per second.
_SLOW_RATE = 5_000_000
_FORM = re.compile(rb"([0-9]{1,12}) ([0-9a-f]{32})")


@dataclass(frozen=True, slots=True)
class Claim:
    """The claim to a layer.

    Attributes:
        claimant: 32 hexadecimal digits that name the batch, which may claim a layer several times.
        end: when it ends, in seconds since 1970.
    """

    claimant: str
    end: int

    def excludes(self, other: Claim, now: float) -> bool:
        """Return whether ``other`` has to wait. A claim that lasts too long comes from a clock that is wrong."""
        return self.claimant != other.claimant and 0 < self.end - now <= 2 * _MAX_SECONDS

    def dump(self) -> bytes:
        """Return the claim as bytes."""
        return f"{self.end} {self.claimant}".encode()


def limit_claim(nar_size: int) -> int:
    """Return for how many seconds a layer is claimed: as many as a slow worker needs for ``nar_size`` bytes."""
    return min(_MIN_SECONDS + nar_size // _SLOW_RATE, _MAX_SECONDS)


def parse_claim(data: bytes) -> Claim | None:
    """Parse what `Claim.dump` returned; return None for anything else."""
    found = _FORM.fullmatch(data)
    return Claim(found[2].decode(), int(found[1])) if found else None


def is_claim_of(claimant: str, data: bytes | None) -> bool:
    """Return whether ``data`` is a claim of ``claimant``."""
    stored = parse_claim(data) if data else None
    return stored is not None and stored.claimant == claimant


def is_excluded(claim: Claim, data: bytes | None, now: float) -> bool:
    """Return whether ``data``, which is stored where ``claim`` is to be, is a claim that excludes it."""
    stored = parse_claim(data) if data else None
    return stored is not None and stored.excludes(claim, now)
