"""Compares ranges of a view with what the target holds, by digest: no data travels."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from blake3 import blake3

from agent.source.batching import BATCH_BYTES, CapturedDisk, read_piece
from agent.source.capture import Capture
from agent.source.conversation import Conversation
from agent.source.lane import Lane
from agent.source.verification import LEAF_BYTES
from replikera.blocks.extents import Extents

QUESTION_LEAVES = 64
"""64 MiB: long enough for the way there and back, short enough that neither side waits for the other's end."""

MAX_OPEN_QUESTIONS = 2
"""The target reads for the one while this side reads for the other."""

THE_PASS = 0
"""The sequence that stands for the open initial pass."""

Leaf: TypeAlias = tuple[int, int, int]
"""(disk, offset, length) of at most `LEAF_BYTES`."""


def leaves_of(extents: Sequence[Extents]) -> Iterator[Leaf]:
    """Yield the leaves of ranges, by disk and offset."""
    for number, each in enumerate(extents):
        for offset, length in each.split(LEAF_BYTES):
            yield number, offset, length


def extents_of(leaves: Sequence[Leaf], disks: int) -> tuple[Extents, ...]:
    """Return by disk the ranges that leaves cover."""
    return tuple(
        Extents.of((offset, length) for number, offset, length in leaves if number == disk)
        for disk in range(disks)
    )


class Comparison:
    """Of one view with one point of the target, in one conversation."""

    def __init__(
        self,
        conversation: Conversation,
        capture: Capture,
        sequence: int,
        lane: Lane,
        on_read: Callable[[int], None] = lambda _count: None,
    ) -> None:
        """`sequence` is `THE_PASS` for the base of the initial pass. `on_read` is told the bytes that were read."""
        self._conversation = conversation
        self._disks = capture.disks
        self._sequence = sequence
        self._lane = lane
        self._on_read = on_read

    def read_bytes(self, leaves: Sequence[Leaf]) -> int:
        """Return how many bytes are read to compare these leaves."""
        return sum(leaf[2] for leaf in leaves if self._holds(*leaf))

    async def differing(self, leaves: Sequence[Leaf]) -> list[Leaf]:
        """Return the leaves whose content is another at the target."""
        found: list[Leaf] = []
        asked: deque[tuple[Sequence[Leaf], list[bytes]]] = deque()
        for place in range(0, len(leaves), QUESTION_LEAVES):
            question = leaves[place : place + QUESTION_LEAVES]
            await self._conversation.ask_digests(self._sequence, question)
            asked.append((question, await self._digests(question)))
            if len(asked) == MAX_OPEN_QUESTIONS:
                found += await self._answer(*asked.popleft())
        while asked:
            found += await self._answer(*asked.popleft())
        return found

    async def _answer(self, question: Sequence[Leaf], mine: list[bytes]) -> list[Leaf]:
        theirs = await self._conversation.digests(self._sequence, len(question))
        pairs = zip(question, mine, theirs, strict=True)
        return [leaf for leaf, here, there in pairs if here != there]

    async def _digests(self, leaves: Sequence[Leaf]) -> list[bytes]:
        digests: list[bytes] = []
        for group in self._groups(leaves):
            count = self.read_bytes(group)
            digests += await self._lane.read(count, _digests_of, self._disks, group)
            self._on_read(count)
        return digests

    def _groups(self, leaves: Sequence[Leaf]) -> Iterator[list[Leaf]]:
        group: list[Leaf] = []
        size = 0
        for leaf in leaves:
            length = leaf[2] if self._holds(*leaf) else 0
            if group and size + length > BATCH_BYTES:
                yield group
                group, size = [], 0
            group.append(leaf)
            size += length
        if group:
            yield group

    def _holds(self, disk: int, offset: int, length: int) -> bool:
        return _is_allocated(self._disks[disk].allocated, offset, length)


def _digests_of(disks: Sequence[CapturedDisk], leaves: Sequence[Leaf]) -> list[bytes]:
    """Return BLAKE3 of each leaf; where nothing is allocated, that of zeros, without reading. Blocks."""
    return [
        blake3(read_piece(disks[number], offset, length)).digest()
        if _is_allocated(disks[number].allocated, offset, length)
        else _digest_of_zeros(length)
        for number, offset, length in leaves
    ]


def _is_allocated(allocated: Extents, offset: int, length: int) -> bool:
    first = int(np.searchsorted(allocated.ends, offset, side="right"))
    return first < len(allocated) and int(allocated.starts[first]) < offset + length


@lru_cache(maxsize=128)
def _digest_of_zeros(length: int) -> bytes:
    return blake3(bytes(length)).digest()
