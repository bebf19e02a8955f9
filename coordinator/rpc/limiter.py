"""How often strangers may knock: token buckets, one an address and one for all."""

from collections import OrderedDict
from dataclasses import dataclass

from replikera.ports.clock import Clock

MAX_ADDRESSES = 4_096
"""Addresses remembered, about 1 MiB; the one that knocked longest ago is forgotten first."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many calls at once, and how many a second after that."""

    burst: float
    per_second: float


PER_ADDRESS = Allowance(burst=20, per_second=1)
"""A join takes two calls; several hosts may sit behind one address."""

IN_ALL = Allowance(burst=200, per_second=50)
"""An enrolment costs about 1 ms of processor and one sync of the disk: 50 a second leave the vault to its hosts."""


class _Bucket:
    """Calls that are left, growing with time."""

    def __init__(self, allowance: Allowance, now: float) -> None:
        self._allowance = allowance
        self._left = allowance.burst
        self._at = now

    def take(self, now: float) -> bool:
        grown = self._left + (now - self._at) * self._allowance.per_second
        self._left = min(self._allowance.burst, grown)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class RateLimiter:
    """Tells whether one more call from an address is let in."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all = _Bucket(IN_ALL, clock.monotonic())
        self._addresses: OrderedDict[str, _Bucket] = OrderedDict()

    def allows(self, address: str) -> bool:
        """Count a call from `address`; False where it comes too soon."""
        now = self._clock.monotonic()
        bucket = self._addresses.pop(address, None) or _Bucket(PER_ADDRESS, now)
        self._addresses[address] = bucket
        if len(self._addresses) > MAX_ADDRESSES:
            self._addresses.popitem(last=False)
        # The address first: one that floods must not use up what is left for the others.
        return bucket.take(now) and self._all.take(now)
