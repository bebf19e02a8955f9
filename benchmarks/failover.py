"""How long a test failover takes from its order until its guest is found well, beside an overlay by `qemu-img create`.

`python benchmarks/failover.py [--points 1000] [--rounds 5] [--gib 1 100]`: a machine for each size, whose disk has 64
MiB of data and is written to all the time, a recovery point every second; then test failovers by turns from the latest
point and from one so many points back. What counts is the vault's own account of the job, from its order to its end,
and what of it went to what. The peer only makes a file: no point is looked up, no machine is defined or started, and
nothing is checked; it is timed as a process, with its start. Real daemons on loopback.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.ours import Ours
from benchmarks.scale import Bursts
from replikera.lab.machine import Machine, system_machine
from replikera.lab.report import recovery_time
from replikera.lab.sample_disk import make_sample_disk

MIB, GIB = 1 << 20, 1 << 30
PARTS = ("materialise", "define", "start", "check")
GOAL_S = 2.0
LATEST = "latest"


@dataclass(frozen=True, slots=True)
class Recovery:
    """One test failover: seconds from its order to its end by the vault, and by part by the target."""

    total: float
    parts: Mapping[str, float]


def overlay_seconds(base: Path, rounds: int) -> float | None:
    """Return the median time of making an overlay over a disk, None where there is no `qemu-img`."""
    times = []
    for number in range(rounds):
        overlay = base.with_suffix(f".{number}.qcow2")
        command = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "vhdx"]
        began = time.perf_counter()
        try:
            subprocess.run([*command, str(overlay)], check=True)
        except FileNotFoundError:
            return None
        times.append(time.perf_counter() - began)
        overlay.unlink()
    return statistics.median(times)


async def write_until(machine: Machine, ours: Ours, guests: Bursts, points: int) -> None:
    """Write a burst every half second until every machine has so many points."""
    while True:
        await machine.worker.run(guests.write_all)
        await machine.clock.sleep(0.5)
        counts = [len(await ours.points(name)) for name in ours.names[-1:]]
        if min(counts) > points:
            return


async def measure(ours: Ours, name: str, point: str, rounds: int) -> list[Recovery]:
    """Test a failover so many times, and clean each up."""
    found = []
    for _ in range(rounds):
        seconds, test = await ours.rehearse(name, point)
        found.append(Recovery(seconds, recovery_time(test)))
    return found


def show(title: str, found: Sequence[Recovery], overlay: float | None) -> None:
    """Print a row: medians, and the ratio to the peer."""
    total = statistics.median(one.total for one in found)
    parts = (statistics.median(one.parts[part] for one in found) for part in PARTS)
    cells = "".join(f"{part:12.3f}" for part in parts)
    children = statistics.median(one.parts["materialise"] for one in found)
    ratio = "qemu-img absent" if overlay is None else f"{overlay:10.3f}{children / overlay:10.2f}"
    print(f"{title:32}{total:9.2f}{cells}{ratio}")


async def run(machine: Machine, folder: Path, points: int, rounds: int, gib: Sequence[int]) -> None:
    """Build, write, measure, print."""
    disks = []
    for size in gib:
        disks.append(folder / f"disk-{size}.vhdx")
        make_sample_disk(
            machine.files, disks[-1], machine.randomness, size=size * GIB, data_size=64 * MIB
        )
    ours = await Ours.build(machine, folder / "lab", disks)
    try:
        await ours.update_policy("--copy-frequency", "1s")
        await ours.protect_all()
        guests = await machine.worker.run(Bursts, machine, ours)
        await write_until(machine, ours, guests, points)
        await machine.worker.run(guests.close)
        print(f"{'seconds, medians of ' + str(rounds):32}{'order to end':>12}", end="")
        print("".join(f"{part:>12}" for part in PARTS), f"{'overlay':>9}{'ratio':>10}")
        for size, name, disk in zip(gib, ours.names, disks, strict=True):
            overlay = overlay_seconds(disk, rounds)
            newest = int(str((await ours.points(name))[0]["sequence"]))
            latest = await measure(ours, name, LATEST, rounds)
            show(f"{size} GiB, latest", latest, overlay)
            back = await measure(ours, name, str(max(1, newest - points)), rounds)
            show(f"{size} GiB, {min(points, newest - 1)} points back", back, overlay)
        print(f"goal: the latest point in under {GOAL_S:g} s whatever the size")
    finally:
        await ours.end()


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gib", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--dir", type=Path, help="where the disks go; otherwise a temporary folder")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.dir) as name, system_machine() as machine:
        asyncio.run(run(machine, Path(name), asked.points, asked.rounds, asked.gib))


if __name__ == "__main__":
    main()
