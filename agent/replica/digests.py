"""Digests of what the base of an open pass holds, to be compared with the source's disk."""

from collections.abc import Iterator, Sequence

import numpy as np
from blake3 import blake3

from agent.replica.base_images import BaseWriter
from agent.replica.errors import ReplicaError
from agent.replica.frames import Window
from agent.replica.messages import Range
from agent.replica.sidecar import GRANULE_BYTES, granule_sums
from replikera.blocks.segment import DiskGeometry

STEP_BYTES = 8 << 20
"""Bytes read before others have their turn on the worker."""


def pass_digests(writer: BaseWriter, ranges: Sequence[Range]) -> Iterator[bytes]:
    """Yield what there is of the ranges' BLAKE3 digests, 32 bytes each, joined; at last all of them.

    What is compared and found equal is not sent again, and of what a crash interrupted the checksums may be older or
    newer than the bytes: so they are brought up to what is there, granule by granule.
    """
    window, found, unseen = Window(), bytearray(), 0
    for disk, offset, length in ranges:
        first = offset // GRANULE_BYTES
        start, end = first * GRANULE_BYTES, offset + length
        stop = min(-(-end // GRANULE_BYTES) * GRANULE_BYTES, writer.disks[disk].size)
        buffer = window.view(stop - start)
        writer.read_into(disk, buffer, start)
        sums = granule_sums(disk, first, buffer)
        writer.set_sums(disk, np.arange(first, first + len(sums), dtype=np.int64), sums)
        found += blake3(buffer[offset - start : end - start]).digest()
        unseen += len(buffer)
        if unseen >= STEP_BYTES:
            unseen = 0
            yield bytes(found)
    yield bytes(found)


def check_ranges(disks: Sequence[DiskGeometry], ranges: Sequence[Range], what: str) -> None:
    """Raise `ReplicaError` for ranges that are not inside the disks of `what`."""
    for disk, offset, length in ranges:
        if disk >= len(disks) or offset + length > disks[disk].size:
            raise ReplicaError(
                "out-of-bounds",
                f"{length} bytes at {offset} of disk {disk} of {what} cannot be compared.",
                "Update both agents to one version.",
            )
