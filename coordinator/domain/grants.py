"""How long a source may send to its target without the vault, and when it gets a new permission."""

import hashlib
from datetime import datetime, timedelta

from replikera.identity import RENEWAL_JITTER

LIFE = timedelta(days=7)
"""Renewed at half: replication outlives three days without the vault."""

BACKDATE = timedelta(minutes=5)
"""A target's clock may be behind by this much and still believe a new grant."""

_HALF = 0.5


def latest_renewal(now: datetime) -> datetime:
    """Return the end of life below which a grant may be due: what ends later is not looked at."""
    return now + LIFE * (_HALF + RENEWAL_JITTER)


def is_due(
    protection_id: str,
    version: int,
    issued_at: datetime | None,
    not_after: datetime | None,
    now: datetime,
) -> bool:
    """Tell whether a protection needs a new grant: it has none, or half of the life of the present one is over.

    By up to a twentieth of its life earlier or later, so that grants that were made together part. The share follows
    from the grant alone: looking often does not make it early.
    """
    if issued_at is None or not_after is None:
        return True
    share = _HALF + RENEWAL_JITTER * _spread(f"{protection_id}/{version}")
    return now >= issued_at + (not_after - issued_at) * share


def _spread(name: str) -> float:
    """Return a number from -1 to 1 that is the same for the same name, and any for another."""
    drawn = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return drawn / (1 << 63) - 1
