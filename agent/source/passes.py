"""The long transfers that may outlive a view, as a source remembers them: pure state.

A pass goes over the disks in *legs*, one a view. When a view has grown too old its position becomes the mark, and the
next leg begins with what the guest wrote since. Coverage is relative to the view of the leg, or to the mark where there
is no view; an older mark than that gives a superset of the changes, which is safe.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from agent.source.assignment import Count
from agent.source.coverage import Coverage, Ranges, ranges_of
from replikera.blocks.extents import Extents
from replikera.blocks.segment import NO_POINT, DiskGeometry

MAX_UNDURABLE_CHUNKS = 2
"""Chunks that the source may have on their way; the target may be that far ahead of what it told."""

Digest = Annotated[bytes, Field(min_length=32, max_length=32)]

_CONFIG = ConfigDict(extra="forbid", ser_json_bytes="hex", val_json_bytes="hex")
_NO_RANGES: Ranges = ()


@dataclass(frozen=True, slots=True)
class Leg:
    """The view that a pass goes over now."""

    __pydantic_config__ = _CONFIG

    view_id: Annotated[str, Field(min_length=1, max_length=1024)]
    capture_started_at: datetime


@dataclass(frozen=True, slots=True)
class InitialPass:
    """The pass that fills the base of point 1. `chunk` is the newest one that is durable, with its digest."""

    __pydantic_config__ = _CONFIG

    attempt: Count
    disks: tuple[DiskGeometry, ...]
    pending: Ranges
    doubtful: Ranges
    leg: Leg | None = None
    chunk: Count = 0
    digest: Digest = NO_POINT

    @property
    def coverage(self) -> Coverage:
        """Return what remains to be done."""
        return Coverage.parse(self.pending, self.doubtful)

    def covering(self, coverage: Coverage) -> "InitialPass":
        """Return the pass with this left to do."""
        stored = coverage.coarsened()
        return replace(self, pending=ranges_of(stored.pending), doubtful=ranges_of(stored.doubtful))

    def on_view(self, leg: Leg, changes: Sequence[Extents] | None) -> "InitialPass":
        """Return the pass on a newer view, with what changed since the position before; None: that is unknown."""
        coverage = self.coverage
        known = coverage.forgotten(self.disks) if changes is None else coverage.changed(changes)
        return replace(self.covering(known), leg=leg)

    def durable(self, chunk: int, digest: bytes, coverage: Coverage) -> "InitialPass":
        """Return the pass after the target made a chunk durable."""
        return replace(self.covering(coverage), chunk=chunk, digest=digest)

    def off_view(self) -> "InitialPass":
        """Return the pass between two legs."""
        return replace(self, leg=None)

    def opened(
        self, chunk: int, digest: bytes, watermarks: Sequence[int], *, is_seeded: bool
    ) -> "InitialPass":
        """Return the pass as the target continues it.

        What it no longer has, or what it has and nobody sent in this pass, is compared before it is believed.
        """
        if (self.chunk, self.digest) == (chunk, digest):
            return self._seeded() if is_seeded and not chunk else self
        if self.chunk < chunk <= self.chunk + MAX_UNDURABLE_CHUNKS:
            # It made durable what was on its way when the conversation broke.
            return replace(self, chunk=chunk, digest=digest)
        known = [disk.size for disk in self.disks] if is_seeded else watermarks
        doubted = self.covering(Coverage.doubtful_below(self.disks, known))
        return replace(doubted, chunk=chunk, digest=digest)

    def _seeded(self) -> "InitialPass":
        return self.covering(Coverage.nothing_known(self.disks))


def new_initial_pass(attempt: int, disks: tuple[DiskGeometry, ...], leg: Leg) -> InitialPass:
    """Return a pass that has sent nothing."""
    empty = InitialPass(attempt, disks, _NO_RANGES, _NO_RANGES, leg)
    return empty.covering(Coverage.nothing_sent(disks))


@dataclass(frozen=True, slots=True)
class ResyncPass:
    """The pass that compares everything with the target's newest point, `sequence` with that digest.

    What differs is pending, and goes as one segment when nothing is doubtful any more. Without disks it has not begun.
    """

    __pydantic_config__ = _CONFIG

    sequence: Count = 0
    digest: Digest = NO_POINT
    disks: tuple[DiskGeometry, ...] = ()
    pending: Ranges = _NO_RANGES
    doubtful: Ranges = _NO_RANGES
    leg: Leg | None = None

    @property
    def coverage(self) -> Coverage:
        """Return what remains to be compared, and what differs."""
        return Coverage.parse(self.pending, self.doubtful)

    def covering(self, coverage: Coverage) -> "ResyncPass":
        """Return the pass with this left to do."""
        stored = coverage.coarsened()
        return replace(self, pending=ranges_of(stored.pending), doubtful=ranges_of(stored.doubtful))

    def against(self, sequence: int, digest: bytes) -> "ResyncPass":
        """Return the pass that compares with this point; one that compared with another begins anew."""
        if (self.sequence, self.digest) == (sequence, digest):
            return self
        return ResyncPass(sequence, digest)

    def on_view(
        self, leg: Leg, disks: tuple[DiskGeometry, ...], changes: Sequence[Extents] | None
    ) -> "ResyncPass":
        """Return the pass on a newer view; without known changes everything is compared again."""
        moved = replace(self, disks=disks, leg=leg)
        if changes is None or disks != self.disks:
            return moved.covering(Coverage.nothing_known(disks))
        return moved.covering(self.coverage.changed(changes))

    def off_view(self) -> "ResyncPass":
        """Return the pass between two legs."""
        return replace(self, leg=None)
