"""The workload of a protected machine: a chain of records that grows while the machine runs.

About three MiB a second in ten bursts: enough for every cycle to have something to send, little enough for a laptop.
"""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from agent.hypervisor.simulated.chain import Chain, new_chain, next_step, region_on
from agent.hypervisor.simulated.layout import BLOCK, Region, region_of
from agent.hypervisor.simulated.live_disks import LiveDisks, Write
from agent.hypervisor.simulated.records import Superblock, digest_of
from replikera.vhdx import Image

STEPS_A_BURST = 8
"""Steps of 38 KiB on average, so about 300 KiB a burst."""

BURST_INTERVAL_S = 0.1

_MARK = b"\xff" * BLOCK


class Workload:
    """Continues the chain on a machine's disks, or begins one on disks without."""

    def __init__(self, disks: LiveDisks, chain: Chain) -> None:
        self._disks = disks
        self._chain = chain
        self._regions = {place: region_on(disks.images[place]) for place in chain.places}

    @classmethod
    def begin(cls, disks: LiveDisks, workload_id: UUID) -> "Workload":
        """Prepare disks that have no records. Raises `DiskTooSmallError` and `HypervisorError`."""
        chain = new_chain(workload_id, [image.size for image in disks.images])
        _prepare(disks, chain)
        return cls(disks, chain)

    def burst(self) -> None:
        """Do the next steps. After an error the object is of no more use."""
        self._write(STEPS_A_BURST)

    def close_log(self) -> None:
        """End the log with a record that closes it, durably; one that is closed already stays as it is."""
        if not self._chain.is_closed:
            self._write(1, is_closing=True)

    def _write(self, steps: int, *, is_closing: bool = False) -> None:
        chain, writes = self._chain, []
        for _ in range(steps):
            record, data = next_step(chain, is_closing=is_closing)
            block = record.encode()
            place, index = chain.place(record.sequence)
            region = self._regions[place]
            writes.append(Write(place, region.slot(index, chain.ring_size), data))
            writes.append(Write(place, region.record(index, chain.ring_size), block))
            chain = replace(chain, newest=record.sequence, digest=digest_of(block))
        self._disks.write(writes)
        self._chain = replace(chain, is_closed=is_closing)


def _prepare(disks: LiveDisks, chain: Chain) -> None:
    """Empty the region of every disk, then write the superblocks.

    Every block of the region gets its place in the file first, so that all later writes are made in place and one that
    a kill cuts off leaves those before it.
    """
    unmarked: list[Write] = []
    placed: list[Write] = []
    emptied: list[Write] = []
    marked: list[Write] = []
    for place in chain.places:
        image = disks.images[place]
        region = region_of(image.size)
        superblock = Superblock(
            chain.workload_id, len(chain.places), len(marked) // 2, chain.ring_size
        ).encode()
        unmarked += [Write(place, offset, bytes(BLOCK)) for offset in region.superblocks]
        placed += [Write(place, offset, _MARK) for offset in _block_starts(image, region)]
        emptied.append(
            Write(place, region.record(0, chain.ring_size), bytes(BLOCK * chain.ring_size))
        )
        marked += [Write(place, offset, superblock) for offset in region.superblocks]
    disks.write(unmarked, placed, emptied, marked)


def _block_starts(image: Image, region: Region) -> Sequence[int]:
    first = region.offset // image.block_size * image.block_size
    starts = range(first, region.offset + region.length, image.block_size)
    return [max(start, region.offset) for start in starts]
