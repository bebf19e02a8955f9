"""Initial replication and a 5 % delta beside nbdcopy and a bitmap-driven NBD writer over TLS, and rsync, in one run.

Both sides of everything run on this machine, over the loopback of a network namespace of the run's own, target on disk
and durable (and nbdcopy once into memory, unflushed). Ours is measured by its own recovery points, from the start of
the capture to the durable seal; the peers as processes, client at the source and server at the target. rsync does not
encrypt.

`python benchmarks/replication.py [--size-mib 3072] [--rounds 3] [--streams 20] [--link-mbit 1000] [--dir FOLDER]`
needs Debian's nbdkit, libnbd-bin, python3-libnbd, rsync, qemu-utils and iproute2, and root for the namespace. With
--link-mbit only what a slow link decides is run: nbdcopy beside ours, without and with adaptive compression.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.disk import MIB, make_changes, make_disk
from benchmarks.measured import Cost
from benchmarks.namespace import enter_namespace, limit_rate
from benchmarks.ours import Ours, share_of
from benchmarks.peers import (
    SYSTEM_PYTHON,
    make_certificates,
    nbd_extents_tls,
    nbdcopy_tls,
    rsync_daemon,
)
from replikera.lab.machine import Machine, system_machine

PROGRAMS = {
    "nbdkit": "nbdkit",
    "nbdcopy": "libnbd-bin",
    "rsync": "rsync",
    "qemu-img": "qemu-utils",
    "tc": "iproute2",
}
DELTA_SHARE = 0.05
FULL, DELTA = "ours, initial", "ours, delta"
_MEMORY = Path("/dev/shm")  # noqa: S108

Results = dict[str, Cost]


@dataclass(frozen=True)
class Options:
    """What the command line asked for. `link_mbit`: 0 leaves loopback as fast as it is."""

    size: int
    rounds: int
    seed: int
    streams: int
    link_mbit: int


@dataclass(frozen=True)
class Source:
    """A disk as a raw file, and the changes that one delta makes to it: (offset, bytes)."""

    folder: Path
    raw: Path
    size: int
    changes: tuple[tuple[int, bytes], ...]

    @property
    def certificates(self) -> Path:
        """Return the folder of the peers' certificates."""
        return self.folder / "certificates"

    def as_vhdx(self, count: int) -> list[Path]:
        """Return the disk cut into `count` equal VHDX files of whole MiB; a rest is left out."""
        share = share_of(self.size, count)
        paths = []
        for number in range(count):
            path = self.folder / f"source-{count}-{number}.vhdx"
            part = f"driver=raw,offset={number * share},size={share},file.filename={self.raw}"
            convert = ["qemu-img", "convert", "-O", "vhdx", "--image-opts", part, str(path)]
            subprocess.run(convert, check=True)
            paths.append(path)
        return paths

    def change(self) -> None:
        """Make the changes in the raw file."""
        with self.raw.open("r+b") as file:
            for offset, data in self.changes:
                file.seek(offset)
                file.write(data)


def make_source(folder: Path, options: Options, seed: int) -> Source:
    """Make the disk of one round."""
    folder.mkdir()
    raw = folder / "source.raw"
    make_disk(raw, options.size, seed=seed)
    make_certificates(folder / "certificates")
    changes = tuple(make_changes(options.size, DELTA_SHARE, seed=seed))
    return Source(folder, raw, options.size, changes)


def extents(changes: Iterable[tuple[int, bytes]]) -> list[tuple[int, int]]:
    """Return the changed ranges as (offset, length), merged and in order: what a dirty bitmap would tell."""
    merged: list[tuple[int, int]] = []
    for offset, data in sorted(changes, key=lambda change: change[0]):
        end = offset + len(data)
        if merged and offset <= sum(merged[-1]):
            first = merged[-1][0]
            merged[-1] = (first, max(sum(merged[-1]), end) - first)
        else:
            merged.append((offset, end - offset))
    return merged


async def ours(
    machine: Machine, source: Source, streams: int, compression: str = "off"
) -> tuple[Cost, Cost]:
    """Return the cost of initial replication and of the delta, in a lab of its own."""
    lab, disks = source.folder / "lab", source.as_vhdx(streams)
    line = await Ours.build(machine, lab, disks, compression=compression)
    try:
        return await line.replicate(), await line.change(source.size, source.changes)
    finally:
        await line.end()
        shutil.rmtree(lab)
        for disk in disks:
            disk.unlink()


def one_round(machine: Machine, source: Source, streams: int) -> Results:
    """Measure everything once, one after the other."""
    results: Results = {}
    copy, memory = source.folder / "nbdcopy.raw", _MEMORY / f"{source.folder.parent.name}.raw"
    try:
        results["nbdcopy TLS to memory"] = nbdcopy_tls(
            source.raw, memory, source.certificates, flushes=False
        )
    finally:
        memory.unlink(missing_ok=True)
    results["nbdcopy TLS to disk"] = nbdcopy_tls(source.raw, copy, source.certificates)
    results[FULL], results[DELTA] = asyncio.run(ours(machine, source, 1))
    if streams > 1:
        many = asyncio.run(ours(machine, source, streams))
        results[f"{FULL}, {streams} streams"], results[f"{DELTA}, {streams} streams"] = many
    rsynced = source.folder / "rsync"
    results["rsync, full"] = rsync_daemon(source.raw, rsynced, delta=False)
    source.change()
    results["NBD extents TLS, delta"] = nbd_extents_tls(
        source.raw, extents(source.changes), copy, source.certificates
    )
    subprocess.run(["cmp", str(source.raw), str(copy)], check=True)
    results["rsync, delta"] = rsync_daemon(source.raw, rsynced, delta=True)
    results["nbdcopy TLS, full again as delta"] = nbdcopy_tls(source.raw, copy, source.certificates)
    return results


def one_round_on_a_link(machine: Machine, source: Source) -> Results:
    """Measure what a slow link decides."""
    copy = source.folder / "nbdcopy.raw"
    results = {"nbdcopy TLS to disk": nbdcopy_tls(source.raw, copy, source.certificates)}
    results[FULL], results[DELTA] = asyncio.run(ours(machine, source, 1))
    adaptive = asyncio.run(ours(machine, source, 1, "adaptive"))
    results[f"{FULL}, adaptive"], results[f"{DELTA}, adaptive"] = adaptive
    return results


def report(rounds: list[Results], data_bytes: int, delta_bytes: int) -> None:
    """Print medians, and the ratios of medians to ours."""
    heads = ("wall s", "MB/s", "CPU s/GiB", "at source", "wire MiB", "MiB source", "MiB target")
    print(f"{'':34}" + "".join(f"{head:>11}" for head in heads) + f"{'times ours':>12}")
    for name in rounds[0]:
        is_delta = "delta" in name
        size = delta_bytes if is_delta else data_bytes
        costs = [results[name] for results in rounds]
        wall = statistics.median(cost.wall_s for cost in costs)
        base = statistics.median(results[DELTA if is_delta else FULL].wall_s for results in rounds)
        source_cpu = statistics.median(cost.source_cpu_s for cost in costs)
        cpu = statistics.median(cost.source_cpu_s + cost.target_cpu_s for cost in costs)
        print(
            f"{name:34}{wall:11.2f}{size / wall / 1e6:11.0f}{cpu / (size / 2**30):11.2f}"
            f"{source_cpu / (size / 2**30):11.2f}"
            f"{statistics.median(cost.wire_bytes for cost in costs) / MIB:11.0f}"
            f"{max(cost.source_peak_bytes for cost in costs) / MIB:11.0f}"
            f"{max(cost.target_peak_bytes for cost in costs) / MIB:11.0f}{wall / base:12.2f}"
        )


def run(options: Options, folder: Path) -> None:
    """Run all rounds and print the table."""
    rounds: list[Results] = []
    data_bytes = delta_bytes = 0
    with system_machine() as machine:
        for number in range(options.rounds):
            source = make_source(folder / f"round-{number}", options, options.seed + number)
            data_bytes = source.raw.stat().st_blocks * 512
            delta_bytes = sum(length for _, length in extents(source.changes))
            if options.link_mbit:
                rounds.append(one_round_on_a_link(machine, source))
            else:
                rounds.append(one_round(machine, source, options.streams))
            shutil.rmtree(source.folder)
            print(f"round {number + 1} of {options.rounds} done", file=sys.stderr)
    link = f"link of {options.link_mbit} Mbit/s; " if options.link_mbit else ""
    print(
        f"{options.size / MIB:.0f} MiB, {data_bytes / MIB:.0f} MiB with data; "
        f"delta {delta_bytes / MIB:.0f} MiB; {link}"
        f"medians of {options.rounds} rounds, largest peaks; both ends on this machine"
    )
    report(rounds, data_bytes, delta_bytes)


def missing_packages() -> list[str]:
    """Return the Debian packages to install first."""
    missing = [package for name, package in PROGRAMS.items() if shutil.which(name) is None]
    look = subprocess.run([SYSTEM_PYTHON, "-c", "import nbd"], capture_output=True, check=False)
    return missing if look.returncode == 0 else [*missing, "python3-libnbd"]


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mib", type=int, default=3072)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--streams", type=int, default=20, help="machines of the run with many")
    parser.add_argument("--link-mbit", type=int, default=0, help="a slow link; 0 for none")
    parser.add_argument("--dir", type=Path, help="where the disks go; otherwise a temporary folder")
    asked = parser.parse_args()
    if missing := missing_packages():
        print(f"install first: {' '.join(missing)}", file=sys.stderr)
        return 2
    if os.geteuid() != 0:
        print("run it as root: it makes a network namespace", file=sys.stderr)
        return 2
    enter_namespace()
    if asked.link_mbit:
        limit_rate(asked.link_mbit)
    size = asked.size_mib * MIB
    options = Options(size, asked.rounds, asked.seed, asked.streams, asked.link_mbit)
    with tempfile.TemporaryDirectory(dir=asked.dir) as name:
        run(options, Path(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
