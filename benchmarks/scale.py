"""One run at real size: what an agent holds in memory, and whether what it says stays true.

`python benchmarks/scale.py extents [--tib 4] [--extents 1000000]`: a sparse disk, changed twice in so many places, 4
KiB each; every changed range of the recovered disk is then compared with what was written at the source.

`python benchmarks/scale.py protections [--machines 50] [--minutes 30]`: machines under one agent, written to all the
time. The lag that the vault shows is held against the newest points that it lists, and these against their content: a
recovered disk has to hold the last burst that was durable before its capture began.

Needs no other program. Both agents and the coordinator are real daemons on loopback.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.live_disks import LiveDisks, Write
from benchmarks.measured import process_state, reset_peak
from benchmarks.ours import Ours
from replikera.lab.machine import Machine, system_machine
from replikera.lab.sample_disk import make_sample_disk
from replikera.vhdx import create_image, open_path

MIB, TIB = 1 << 20, 1 << 40
Offsets = npt.NDArray[np.int64]
_PIECE = 4096
_BURST = 4096
"""Writes at once: 16 MiB."""


def peaks(ours: Ours) -> str:
    """Return what both agents hold and have held at most since the count began."""
    states = zip(("source", "target"), map(process_state, ours.process_ids()), strict=True)
    return "; ".join(
        f"{end}: {state.resident_bytes / MIB:.0f} MiB resident, peak {state.peak_bytes / MIB:.0f}"
        for end, state in states
    )


def make_empty_disk(machine: Machine, path: Path, size: int) -> None:
    """Write an empty dynamic disk with the block size that Hyper-V gives new disks, 32 MiB."""
    with machine.files.create(path) as file:
        create_image(file, size=size, block_size=32 * MIB, randomness=machine.randomness).close()


def places(size: int, count: int) -> Offsets:
    """Return `count` different offsets of 4 KiB all over a disk."""
    generator = np.random.default_rng(1)
    drawn = np.unique(generator.integers(0, size // _PIECE, size=count + count // 50))
    return np.sort(generator.choice(drawn, count, replace=False)) * _PIECE


def content(offset: int, turn: int) -> bytes:
    """Return what stands at a place after a turn: nothing that stands elsewhere, or stood there before."""
    return b"%016x%016x" % (offset, turn) * (_PIECE // 32)


def bursts(offsets: Offsets, turn: int) -> Iterator[list[Write]]:
    """Yield the writes of one turn."""
    for start in range(0, len(offsets), _BURST):
        part = offsets[start : start + _BURST].tolist()
        yield [Write(0, offset, content(offset, turn)) for offset in part]


def write_turn(machine: Machine, ours: Ours, offsets: Offsets, turn: int) -> None:
    """Change all places of the first machine's disk."""
    host = HostFolder(machine.files, machine.randomness, ours.primary_root)
    live = LiveDisks(host.get_by_name(ours.names[0]))
    try:
        for burst in bursts(offsets, turn):
            live.write(burst)
    finally:
        live.close()


def count_wrong(
    machine: Machine,
    path: Path,
    offsets: Offsets,
    turn: int,
) -> int:
    """Return how many places of a recovered disk hold something else."""
    with closing(open_path(machine.files, path)) as image:
        return sum(
            image.read(_PIECE, offset) != content(offset, turn) for offset in offsets.tolist()
        )


async def run_extents(machine: Machine, folder: Path, size: int, count: int) -> bool:
    """Replicate a big disk twice changed in many places; print what it took; tell whether it came over whole."""
    disk = folder / "big.vhdx"
    make_empty_disk(machine, disk, size)
    offsets = places(size, count)
    ours = await Ours.build(machine, folder / "lab", [disk])
    try:
        began = time.monotonic()
        await ours.protect_all()
        print(f"initial replication of {size / TIB:g} TiB, empty: {time.monotonic() - began:.1f} s")
        for turn in (1, 2):
            await ours.pause()
            await machine.worker.run(write_turn, machine, ours, offsets, turn)
            cost = await ours.resume()
            print(
                f"delta {turn}: {count} extents, {cost.wall_s:.1f} s, CPU {cost.source_cpu_s:.1f} + "
                f"{cost.target_cpu_s:.1f} s, peak {cost.source_peak_bytes / MIB:.0f} MiB source, "
                f"{cost.target_peak_bytes / MIB:.0f} MiB target",
                flush=True,
            )
        began = time.monotonic()
        recovered, _ = await ours.recover(ours.names[0])
        print(f"recovered in {time.monotonic() - began:.1f} s")
        wrong = await machine.worker.run(count_wrong, machine, recovered, offsets, 2)
        print(f"{count - wrong} of {count} places of the recovered disk are as at the source")
        print(peaks(ours))
    finally:
        await ours.end()
    return not wrong


class Bursts:
    """Machines that are written to, one place each, over and over; knows when each burst was durable."""

    def __init__(self, machine: Machine, ours: Ours) -> None:
        host = HostFolder(machine.files, machine.randomness, ours.primary_root)
        self._live = {name: LiveDisks(host.get_by_name(name)) for name in ours.names}
        self.durable: dict[str, list[datetime]] = {name: [] for name in ours.names}
        self._machine = machine

    def write_all(self) -> None:
        """Write the next burst of every machine."""
        for name, live in self._live.items():
            number = len(self.durable[name])
            live.write(
                [Write(0, 0, content(0, number)), Write(0, MIB * (number % 64), b"x" * _PIECE)]
            )
            self.durable[name].append(self._machine.clock.now())

    def close(self) -> None:
        """Close all disks."""
        for live in self._live.values():
            live.close()


class LagJudge:
    """Compares the lag that the vault shows with the newest points that it lists."""

    def __init__(self, machine: Machine, ours: Ours) -> None:
        self._machine, self._ours = machine, ours
        self.looks = self.unknown = 0
        self.worst = 0.0
        self.wrong: list[str] = []

    async def look(self) -> None:
        """Ask for all protections, and then for the points of each: lag may not be better than they allow."""
        clock = self._machine.clock
        asked_at = clock.now()
        shown = await self._ours.protections()
        for protection in shown:
            self.looks += 1
            lag = protection.get("lag_seconds")
            if lag is None:
                self.unknown += 1
                continue
            await self._judge(str(protection["name"]), float(str(lag)), asked_at)

    async def _judge(self, name: str, lag: float, asked_at: datetime) -> None:
        self.worst = max(self.worst, lag)
        newest = (await self._ours.points(name))[0]
        captured = datetime.fromisoformat(str(newest["capture_started_at"]))
        real = (asked_at - captured).total_seconds()
        # The newest point may have come after the answer: it makes the real lag smaller, never larger.
        if lag < real - 0.1:
            self.wrong.append(
                f"{name}: shown {lag:.2f} s, at least {real:.2f} s by its newest point"
            )


async def run_protections(machine: Machine, folder: Path, count: int, minutes: float) -> bool:
    """Replicate many machines for a while; print memory and lag; tell whether all stayed true."""
    disks = []
    for number in range(count):
        disks.append(folder / f"disk-{number}.vhdx")
        make_sample_disk(
            machine.files, disks[-1], machine.randomness, size=64 * MIB, data_size=8 * MIB
        )
    ours = await Ours.build(machine, folder / "lab", disks)
    await ours.update_policy("--copy-frequency", "10s")
    await ours.protect_all()
    guests, judge = await machine.worker.run(Bursts, machine, ours), LagJudge(machine, ours)
    for process_id in ours.process_ids():
        reset_peak(process_id)
    try:
        end = time.monotonic() + minutes * 60
        while time.monotonic() < end:
            await machine.worker.run(guests.write_all)
            await judge.look()
            await machine.clock.sleep(5)
        print(peaks(ours))
        print(
            f"{judge.looks} looks at the lag of {count} protections, {judge.unknown} unknown, "
            f"worst {judge.worst:.1f} s, {len(judge.wrong)} better than the truth"
        )
        for problem in judge.wrong[:10]:
            print(problem)
        missed = await _count_missed(machine, ours, guests)
        print(f"{missed} recovered disks lack a burst that was durable before their capture began")
    finally:
        await machine.worker.run(guests.close)
        await ours.end()
    return not judge.wrong and not missed


async def _count_missed(machine: Machine, ours: Ours, guests: Bursts) -> int:
    """Recover the newest point of three machines and look for the last burst before each capture."""
    missed = 0
    for name in ours.names[:: max(1, len(ours.names) // 3)]:
        recovered, captured = await ours.recover(name)
        last = sum(when < captured for when in guests.durable[name]) - 1
        found = await machine.worker.run(_read_head, machine, recovered)
        expected = [content(0, number) for number in range(last, len(guests.durable[name]))]
        missed += found not in expected
    return missed


def _read_head(machine: Machine, path: Path) -> bytes:
    with closing(open_path(machine.files, path)) as image:
        return image.read(_PIECE, 0)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    extents = kinds.add_parser("extents")
    extents.add_argument("--tib", type=float, default=4)
    extents.add_argument("--extents", type=int, default=1_000_000)
    protections = kinds.add_parser("protections")
    protections.add_argument("--machines", type=int, default=50)
    protections.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--dir", type=Path, help="where the disks go; otherwise a temporary folder")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.dir) as name, system_machine() as machine:
        if asked.kind == "extents":
            size = int(asked.tib * TIB) // MIB * MIB
            is_true = asyncio.run(run_extents(machine, Path(name), size, asked.extents))
        else:
            run = run_protections(machine, Path(name), asked.machines, asked.minutes)
            is_true = asyncio.run(run)
    return 0 if is_true else 1


if __name__ == "__main__":
    sys.exit(main())
