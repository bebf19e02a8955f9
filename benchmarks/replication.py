"""Initial replication and a 5 % delta beside nbdcopy over TLS and rsync, in one run.

Both sides of everything run on this machine, over loopback, target on disk and durable. Ours is measured by its own
recovery points, from the start of the capture to the durable seal; CPU and memory are the operating system's account
of the two agents. The peers are measured as processes, client and server together; rsync does not encrypt.

`python benchmarks/replication.py [--size-mib 3072] [--rounds 3] [--dir FOLDER]`; needs Debian's nbdkit, libnbd-bin,
rsync and qemu-utils.
"""

import argparse
import asyncio
import io
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console

from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.live_disks import LiveDisks, Write
from benchmarks.disk import MIB, make_changes, make_disk
from benchmarks.measured import Cost, process_state, reset_peak
from benchmarks.peers import make_certificates, nbdcopy_tls, rsync_daemon
from replikera.lab.line import MACHINE_NAME, Line, agent_name
from replikera.lab.machine import Machine, system_machine
from replikera.lab.narrator import Narrator
from replikera.lab.run import build, prepare

PROGRAMS = {"nbdkit": "nbdkit", "nbdcopy": "libnbd-bin", "rsync": "rsync", "qemu-img": "qemu-utils"}
DELTA_SHARE = 0.05
_DEADLINE_S = 300.0


@dataclass(frozen=True)
class Disk:
    """The source as a raw file and as VHDX, and the bytes of it that are not zeros by allocation."""

    raw: Path
    vhdx: Path
    size: int
    data_bytes: int


class Agents:
    """What both agents of a line cost over a stretch of time."""

    def __init__(self, line: Line) -> None:
        names = (agent_name(line.folder.primary), agent_name(line.folder.secondary))
        self._ids = [line.daemons.process_id(name) for name in names]
        for process_id in self._ids:
            reset_peak(process_id)
        self._before = [process_state(process_id).cpu_s for process_id in self._ids]

    def cost(self, wall_s: float) -> Cost:
        """Return their CPU since the beginning, and the larger peak."""
        now = [process_state(process_id) for process_id in self._ids]
        cpu = sum(state.cpu_s - before for state, before in zip(now, self._before, strict=True))
        return Cost(wall_s, cpu, max(state.peak_bytes for state in now))


async def initial_replication(line: Line) -> Cost:
    """Enable protection and return what the first recovery point cost."""
    for disk in (line.folder.primary.hypervisor / "machines").rglob("*.vhdx"):
        _warm(disk)
    agents = Agents(line)
    await line.protect()
    points = await line.points()
    return agents.cost(_seconds(points[-1]))


def _warm(path: Path) -> None:
    """Read a file once: the peers' source is in the page cache too."""
    with path.open("rb") as file:
        while file.read(MIB):
            pass


async def delta(machine: Machine, line: Line, disk: Disk, seed: int) -> Cost:
    """Change 5 % of the disk in one burst and return what the point that carries it cost."""
    await machine.clock.sleep(3)
    newest = int(str((await line.points())[0]["sequence"]))
    agents = Agents(line)
    await machine.worker.run(_write_delta, machine, line, disk, seed)
    end = time.monotonic() + _DEADLINE_S
    while time.monotonic() < end:
        # The burst is written under the machine's lock: one view, and so one point, has all of it.
        changed = [
            point
            for point in await line.points()
            if int(str(point["sequence"])) > newest and int(str(point["payload_bytes"])) > 0
        ]
        if changed:
            return agents.cost(_seconds(changed[-1]))
        await machine.clock.sleep(0.2)
    raise TimeoutError("no recovery point carries the delta")


def _write_delta(machine: Machine, line: Line, disk: Disk, seed: int) -> None:
    host = HostFolder(machine.files, machine.randomness, line.folder.primary.hypervisor)
    live = LiveDisks(host.get_by_name(MACHINE_NAME))
    try:
        live.write(
            [
                Write(0, offset, data)
                for offset, data in make_changes(disk.size, DELTA_SHARE, seed=seed)
            ]
        )
    finally:
        live.close()


def _seconds(point: object) -> float:
    assert isinstance(point, dict)
    begun, sealed = (
        datetime.fromisoformat(str(point[key])) for key in ("capture_started_at", "sealed_at")
    )
    return (sealed - begun).total_seconds()


async def ours(machine: Machine, folder: Path, disk: Disk, seed: int) -> tuple[Cost, Cost]:
    """Return the cost of initial replication and of the delta, in a lab of its own."""
    narrator = Narrator(Console(file=io.StringIO()), machine.clock)
    line = await prepare(machine, narrator, folder, kept_views=0)
    try:
        await build(machine, narrator, line, (disk.vhdx,), has_workload=False)
        # The guest would verify and hold the disk: the changes come from here instead.
        root = ("--root", str(line.folder.primary.hypervisor))
        stop = ("replikera-agent", "simulate", "stop", *root, "--machine", MACHINE_NAME)
        await line.commands.run(*stop)
        return await initial_replication(line), await delta(machine, line, disk, seed)
    finally:
        await line.end()
        shutil.rmtree(folder)


def nbdcopy_full(folder: Path, disk: Disk) -> Cost:
    """Copy the raw image by nbdcopy over TLS."""
    target = folder / "nbdcopy.raw"
    make_certificates(folder / "certificates")
    try:
        return nbdcopy_tls(disk.raw, target, folder / "certificates")
    finally:
        target.unlink(missing_ok=True)


def rsync_both(folder: Path, disk: Disk, seed: int) -> tuple[Cost, Cost]:
    """Copy the raw image by rsync, change it, and copy it again."""
    target = folder / "rsync"
    try:
        full = rsync_daemon(disk.raw, target, delta=False)
        with disk.raw.open("r+b") as file:
            for offset, data in make_changes(disk.size, DELTA_SHARE, seed=seed):
                file.seek(offset)
                file.write(data)
        return full, rsync_daemon(disk.raw, target, delta=True)
    finally:
        shutil.rmtree(target, ignore_errors=True)


def make_source(folder: Path, size: int, seed: int) -> Disk:
    """Make the disk in both forms."""
    raw, vhdx = folder / "source.raw", folder / "source.vhdx"
    make_disk(raw, size, seed=seed)
    subprocess.run(
        ["qemu-img", "convert", "-f", "raw", "-O", "vhdx", str(raw), str(vhdx)], check=True
    )
    return Disk(raw, vhdx, size, raw.stat().st_blocks * 512)


def one_round(machine: Machine, folder: Path, size: int, seed: int) -> dict[str, Cost]:
    """Measure everything once, one after the other."""
    disk = make_source(folder, size, seed)
    results: dict[str, Cost] = {}
    results["nbdcopy TLS, full"] = nbdcopy_full(folder, disk)
    lab = folder / "lab"
    results["ours, initial"], results["ours, delta"] = asyncio.run(ours(machine, lab, disk, seed))
    results["rsync, full"], results["rsync, delta"] = rsync_both(folder, disk, seed)
    results["nbdcopy TLS, full again"] = nbdcopy_full(folder, disk)
    return results


def report(rounds: list[dict[str, Cost]], data_bytes: int, delta_bytes: int) -> None:
    """Print medians, and the ratios of medians to ours."""
    print(f"{'':26}{'wall s':>9}{'MB/s':>8}{'CPU s/GiB':>11}{'peak MiB':>10}{'times ours':>12}")
    mine = {"full": "ours, initial", "delta": "ours, delta"}
    for name in rounds[0]:
        kind = "delta" if "delta" in name or "again" in name else "full"
        size = delta_bytes if kind == "delta" else data_bytes
        wall = statistics.median(entry[name].wall_s for entry in rounds)
        cpu = statistics.median(entry[name].cpu_s for entry in rounds)
        peak = max(entry[name].peak_bytes for entry in rounds)
        ratio = wall / statistics.median(entry[mine[kind]].wall_s for entry in rounds)
        print(
            f"{name:26}{wall:9.2f}{size / wall / 1e6:8.0f}{cpu / (size / 2**30):11.2f}"
            f"{peak / MIB:10.0f}{ratio:12.2f}"
        )


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mib", type=int, default=3072)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--dir", type=Path, help="where the disks go; a temporary folder without it"
    )
    options = parser.parse_args()
    missing = [package for name, package in PROGRAMS.items() if shutil.which(name) is None]
    if missing:
        print(f"install first: {' '.join(missing)}", file=sys.stderr)
        return 2
    size = options.size_mib * MIB
    with tempfile.TemporaryDirectory(dir=options.dir) as name, system_machine() as machine:
        folder = Path(name)
        rounds = []
        for number in range(options.rounds):
            rounds.append(one_round(machine, folder, size, options.seed + number))
            print(f"round {number + 1} of {options.rounds} done", file=sys.stderr)
        data_bytes = (folder / "source.raw").stat().st_blocks * 512
        changes = make_changes(size, DELTA_SHARE, seed=options.seed)
        delta_bytes = sum(len(data) for _, data in islice(changes, 1_000_000))
    print(
        f"{options.size_mib} MiB, {data_bytes / MIB:.0f} MiB with data; delta {delta_bytes / MIB:.0f} MiB; "
    )
    print(f"medians of {options.rounds} rounds; both ends on this machine")
    report(rounds, data_bytes, delta_bytes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
