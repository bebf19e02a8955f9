"""A dynamic VHDX disk beside a raw file and beside QEMU, in one run.

Sequential reads and writes of 1 MiB and random writes of 64 KiB: through `replikera.vhdx`, and as `os.pread` and
`os.pwrite` of a raw file with the same content, round by round in turn; writes end with a flush. Then the whole disk
to raw (`replikera disk export` beside `qemu-img convert`), QEMU's own writes into the same VHDX (`qemu-img bench`),
and the opening of an empty disk of 64 TiB. Reads come from the page cache: it is the code that is measured.

`python benchmarks/vhdx.py [--size 1G] [--rounds 5] [--dir FOLDER]`; the rows of QEMU need Debian's qemu-utils.
"""

import argparse
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from typing_extensions import override

from benchmarks.measured import Program
from replikera.cli.byte_sizes import parse_size
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from replikera.vhdx import Image, create_image, open_image

MIB = 1 << 20
PIECE = MIB
RANDOM_PIECE = 64 << 10
FILES = SystemFiles()
RANDOMNESS = SystemRandomness()
GOALS = {"sequential read": 0.8, "sequential write, allocated": 0.7}
OPENING_GOAL_MS = 50.0


@dataclass(frozen=True)
class Row:
    """Seconds of each round, ours and the peer's, over the same bytes."""

    name: str
    peer: str
    size: int
    ours: list[float]
    theirs: list[float]

    @override
    def __str__(self) -> str:
        mine, other = statistics.median(self.ours), statistics.median(self.theirs)
        goal = f"  goal {GOALS[self.name]}" if self.name in GOALS else ""
        speeds = f"{self.size / MIB / mine:8.0f} {self.size / MIB / other:8.0f} MiB/s"
        return f"{self.name:30} {self.peer:20} {speeds}  ratio {other / mine:5.2f}{goal}"


class Disks:
    """A VHDX and a raw file of one size in one folder."""

    def __init__(self, folder: Path, size: int) -> None:
        self.vhdx, self.raw, self.size = folder / "disk.vhdx", folder / "disk.raw", size
        self.data = random.Random(1).randbytes(PIECE)

    def offsets(self, piece: int, *, is_random: bool = False) -> list[int]:
        """Return where pieces go: one after the other, or an eighth of them in a random order."""
        every = list(range(0, self.size - piece + 1, piece))
        return random.Random(2).sample(every, max(1, len(every) // 8)) if is_random else every

    def make_new(self) -> None:
        """Make both files anew, without data."""
        self.vhdx.unlink(missing_ok=True)
        create_image(FILES.create(self.vhdx), size=self.size, randomness=RANDOMNESS).close()
        self.raw.unlink(missing_ok=True)
        with self.raw.open("wb") as file:
            file.truncate(self.size)

    def image(self) -> Image:
        file = FILES.open_write(self.vhdx)
        return open_image(file, writable=True, randomness=RANDOMNESS)


def timed(work: Callable[[], None]) -> float:
    os.sync()  # what the round before left behind is not this round's work
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def write_ours(disks: Disks, offsets: list[int], piece: int) -> None:
    data = memoryview(disks.data)[:piece]
    with disks.image() as image:
        for offset in offsets:
            image.write(data, offset)
        image.flush()


def write_raw(disks: Disks, offsets: list[int], piece: int) -> None:
    data = memoryview(disks.data)[:piece]
    descriptor = os.open(disks.raw, os.O_RDWR)
    for offset in offsets:
        os.pwrite(descriptor, data, offset)
    os.fdatasync(descriptor)
    os.close(descriptor)


def read_ours(disks: Disks, offsets: list[int], piece: int) -> None:
    with open_image(FILES.open_read(disks.vhdx)) as image:
        for offset in offsets:
            image.read(piece, offset)


def read_raw(disks: Disks, offsets: list[int], piece: int) -> None:
    descriptor = os.open(disks.raw, os.O_RDONLY)
    for offset in offsets:
        os.pread(descriptor, piece, offset)
    os.close(descriptor)


def fill_ours(disks: Disks, offsets: list[int], piece: int) -> None:
    buffer = memoryview(bytearray(piece))
    with open_image(FILES.open_read(disks.vhdx)) as image:
        for offset in offsets:
            image.read_into(buffer, offset)


def fill_raw(disks: Disks, offsets: list[int], piece: int) -> None:
    buffer = memoryview(bytearray(piece))
    descriptor = os.open(disks.raw, os.O_RDONLY)
    for offset in offsets:
        os.preadv(descriptor, [buffer], offset)
    os.close(descriptor)


def beside_raw(disks: Disks, rounds: int) -> Iterator[Row]:
    everything = disks.offsets(PIECE)
    scattered = disks.offsets(RANDOM_PIECE, is_random=True)

    def row(
        name: str,
        ours: Callable[[Disks, list[int], int], None],
        raw: Callable[[Disks, list[int], int], None],
        place: tuple[list[int], int],
        prepare: Callable[[], None] = lambda: None,
    ) -> Row:
        mine: list[float] = []
        theirs: list[float] = []
        for _ in range(rounds):
            prepare()
            mine.append(timed(lambda: ours(disks, *place)))
            theirs.append(timed(lambda: raw(disks, *place)))
        return Row(name, "pread/pwrite", len(place[0]) * place[1], mine, theirs)

    yield row("sequential write, first", write_ours, write_raw, (everything, PIECE), disks.make_new)
    yield row("sequential write, allocated", write_ours, write_raw, (everything, PIECE))
    yield row("random 64K write, allocated", write_ours, write_raw, (scattered, RANDOM_PIECE))
    yield row("sequential read", read_ours, read_raw, (everything, PIECE))
    yield row("sequential read_into", fill_ours, fill_raw, (everything, PIECE))
    yield row(
        "random 64K write, first", write_ours, write_raw, (scattered, RANDOM_PIECE), disks.make_new
    )


def beside_qemu(disks: Disks, rounds: int) -> Iterator[Row]:
    disks.make_new()
    write_ours(disks, disks.offsets(PIECE), PIECE)
    target = disks.raw.with_suffix(".out")
    program = "from replikera.cli.main import main; main()"
    export = [sys.executable, "-c", program, "-o", "json", "disk", "export", "--force"]
    convert = ["qemu-img", "convert", "-f", "vhdx", "-O", "raw"]
    mine: list[float] = []
    theirs: list[float] = []
    environment = {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    for _ in range(rounds):
        for command, seconds in ((export, mine), (convert, theirs)):
            target.unlink(missing_ok=True)
            os.sync()
            cost = Program([*command, str(disks.vhdx), str(target)], **environment).usage()
            begun = time.perf_counter()
            with target.open(
                "rb"
            ) as file:  # QEMU leaves the file to the cache, the export does not
                os.fsync(file.fileno())
            seconds.append(cost.wall_s + time.perf_counter() - begun)
    yield Row("whole disk to raw", "qemu-img convert", disks.size, mine, theirs)
    target.unlink()

    for name, piece, step in (
        ("1M write, allocated", PIECE, PIECE),
        ("64K write, every 512K", RANDOM_PIECE, 8 * RANDOM_PIECE),
    ):
        offsets = list(range(0, disks.size - piece + 1, step))
        bench = ["qemu-img", "bench", "-f", "vhdx", "-w", "-d", "1", "-c", str(len(offsets))]
        bench += ["-s", str(piece), "-S", str(step), "--flush-interval", str(len(offsets))]
        mine, theirs = [], []
        for _ in range(rounds):
            mine.append(timed(lambda: write_ours(disks, offsets, piece)))  # noqa: B023 - called at once
            os.sync()
            theirs.append(Program([*bench, str(disks.vhdx)]).usage().wall_s)
        yield Row(name, "qemu-img bench", len(offsets) * piece, mine, theirs)


def opening_ms(folder: Path, rounds: int) -> float:
    """Return how long it takes to open an empty disk of 64 TiB, in milliseconds."""
    path = folder / "large.vhdx"
    create_image(FILES.create(path), size=64 << 40, randomness=RANDOMNESS).close()
    seconds = [
        timed(lambda: open_image(FILES.open_read(path)).close()) for _ in range(max(rounds, 5))
    ]
    path.unlink()
    return statistics.median(seconds) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=parse_size, default=parse_size("1G"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as name:
        disks = Disks(Path(name), options.size.count)
        print(f"{'':51} {'ours':>8} {'peer':>8}         (median of {options.rounds})")
        for row in beside_raw(disks, options.rounds):
            print(row, flush=True)
        if shutil.which("qemu-img") is None:
            print("qemu-img is missing: install the package qemu-utils for its rows")
        else:
            for row in beside_qemu(disks, options.rounds):
                print(row, flush=True)
        milliseconds = opening_ms(Path(name), options.rounds)
        print(
            f"opening an empty disk of 64 TiB: {milliseconds:.1f} ms  goal {OPENING_GOAL_MS:.0f} ms"
        )


if __name__ == "__main__":
    main()
