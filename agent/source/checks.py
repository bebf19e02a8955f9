"""Compares what was sent with what the target has made of it, after every cycle: samples, and a verification in slices.

The view is the point: both ends are looked at as they were at one instant, while the guest goes on.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

import numpy as np

from agent.source.capture import Capture
from agent.source.comparing import QUESTION_LEAVES, Comparison, Leaf
from agent.source.conversation import Conversation
from agent.source.errors import ResyncRequiredError, shown
from agent.source.protection import Protection
from agent.source.verification import LEAF_BYTES, Verification
from replikera.blocks.extents import Extents
from replikera.ports.randomness import Randomness

SAMPLES = 4
SLICE_BYTES = 256 << 20
SLICE_SECONDS = 2.0
"""After so much, whichever is reached first, it is noted how far a verification is."""

LEAST_SLICE_SECONDS = 0.2
"""What a verification gets of a cycle in any case: otherwise one whose next is due at once would never end."""

MAX_SLICE_LEAVES = 4096
"""Where nothing is allocated nothing is read: 4 GiB of a disk."""


Allowance: TypeAlias = Callable[[], Awaitable[float]]
"""Tells for how many seconds more the view of a verification may stay; nothing is left of 0 and less."""


class Checks:
    """One conversation's checks of one protection."""

    def __init__(
        self, protection: Protection, conversation: Conversation, allowance: Allowance
    ) -> None:
        self._host = protection.host
        self._record = protection.record
        self._lane = protection.lane
        self._conversation = conversation
        self._allowance = allowance

    async def after(self, capture: Capture, changed: Sequence[Extents]) -> None:
        """Check the point that this view became, and note that it is right.

        Raises `ResyncRequiredError`, naming disk and offset, where it is not.
        """
        sequence = self._record.state.head.sequence
        comparison = Comparison(self._conversation, capture, sequence, self._lane)
        samples = sample(capture, changed, self._host.randomness)
        await self._note(capture, None, await comparison.differing(samples))
        seconds = max(LEAST_SLICE_SECONDS, await self._allowance())
        while seconds > 0 and (verification := self._running()) is not None:
            until = self._lane.clock.monotonic() + min(seconds, SLICE_SECONDS)
            after, differing = await self._slice(comparison, capture, verification, until)
            await self._note(capture, after, differing)
            seconds = await self._allowance()

    def _running(self) -> Verification | None:
        """Return the verification that is wanted now: it may have been ordered, or called off, meanwhile."""
        verification = self._record.state.verification
        return verification if verification is not None and verification.is_running else None

    async def _note(
        self, capture: Capture, verification: Verification | None, differing: Sequence[Leaf]
    ) -> None:
        sequence = self._record.state.head.sequence
        compared_at = None if differing else self._host.clock.now()
        await self._record.update(lambda state: state.checked(verification, compared_at))
        if differing:
            raise _difference(capture, sequence, differing)

    async def _slice(
        self, comparison: Comparison, capture: Capture, verification: Verification, until: float
    ) -> tuple[Verification, list[Leaf]]:
        """Return the verification after its next slice, and what of it differed."""
        disks = capture.geometries
        leaves = islice(verification.leaves(disks), MAX_SLICE_LEAVES)
        read = 0
        while read < SLICE_BYTES and self._lane.clock.monotonic() < until:
            part = list(islice(leaves, 2 * QUESTION_LEAVES))
            if not part:
                break
            differing = await comparison.differing(part)
            checked = sum(length for _, _, length in part)
            wrong = sum(length for _, _, length in differing)
            now = self._host.clock.now()
            verification = verification.checked(disks, checked, wrong, now)
            if differing:
                return verification, differing
            read += comparison.read_bytes(part)
        return verification, []


def sample(capture: Capture, changed: Sequence[Extents], randomness: Randomness) -> list[Leaf]:
    """Return a few leaves: half of what this point changed, where it did, half of all that is allocated."""
    allocated = [disk.allocated for disk in capture.disks]
    pools = [changed if place % 2 else allocated for place in range(SAMPLES)]
    found = {leaf for pool in pools for leaf in _leaf_of(capture, pool, randomness)}
    return sorted(found)


def _leaf_of(capture: Capture, pool: Sequence[Extents], randomness: Randomness) -> Iterator[Leaf]:
    total = sum(each.total() for each in pool)
    place = int(randomness.uniform(0, total)) if total else 0
    for number, each in enumerate(pool):
        ends = np.cumsum(each.ends - each.starts)
        found = int(np.searchsorted(ends, place, side="right"))
        if found < len(each):
            into = place - int(ends[found]) + int(each.ends[found] - each.starts[found])
            offset = (int(each.starts[found]) + into) // LEAF_BYTES * LEAF_BYTES
            size = capture.geometries[number].size
            yield number, offset, min(LEAF_BYTES, size - offset)
            return
        place -= each.total()


def _difference(capture: Capture, sequence: int, differing: Sequence[Leaf]) -> ResyncRequiredError:
    number, offset, length = differing[0]
    name = shown(capture.geometries[number].name)
    return ResyncRequiredError(
        "verify-failed",
        f"Recovery point {sequence} differs from the machine as it was then: disk {name}, offset {offset}, "
        f"somewhere in {length} bytes.",
    )
