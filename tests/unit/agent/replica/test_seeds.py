"""Disks that were brought to the host."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.replica import seeds as module
from agent.replica.accepted import Seed
from agent.replica.base_images import BaseWriter
from agent.replica.errors import ReplicaError
from agent.replica.fence import FencedFiles
from agent.replica.seeds import SeedCopy
from agent.replica.storage import Storage
from replikera.vhdx import create_child, create_image, open_image
from tests.support.lineages import LineageBench
from tests.support.raw_images import RawImages
from tests.support.seeded_randomness import SeededRandomness
from tests.support.segments import disks_of

MIB = 1 << 20
SIZE = 4 * MIB
DISKS = disks_of(SIZE, MIB)
FOLDER = Path("/seeds")
DATA = bytes(range(256)) * 512


def no_limit(_count: int) -> None:
    """There is always space."""


class Bench(LineageBench):
    def __init__(self) -> None:
        super().__init__(sizes=(SIZE, MIB))
        self.files.make_directory(FOLDER)
        storage = Storage(FencedFiles(self.files), self.layout, RawImages())
        self.writer: BaseWriter = storage.create_base(1, DISKS)

    def put(self, name: str, content: bytes) -> None:
        self.files.append(FOLDER / name, content)

    def put_vhdx(self, name: str, size: int = SIZE, folder: Path = FOLDER) -> None:
        with create_image(
            self.files.create(folder / name),
            size=size,
            block_size=MIB,
            randomness=SeededRandomness(1),
        ) as image:
            image.write(DATA, MIB)

    def copy(self, *seeds: Seed, folder: Path | None = FOLDER) -> SeedCopy:
        return SeedCopy(self.files, folder, DISKS, seeds)

    def run(self, *seeds: Seed) -> None:
        for _ in self.copy(*seeds).run(self.writer, no_limit):
            pass

    def content(self, disk: int = 0) -> bytes:
        buffer = bytearray(DISKS[disk].size)
        self.writer.read_into(disk, memoryview(buffer), 0)
        return bytes(buffer)

    def refused(self, *seeds: Seed, folder: Path | None = FOLDER) -> ReplicaError:
        copy = self.copy(*seeds, folder=folder)
        with pytest.raises(ReplicaError) as error:
            list(copy.run(self.writer, no_limit))
        assert error.value.remedy
        return error.value


@pytest.fixture
def bench() -> Bench:
    return Bench()


def seed(name: str, disk: int = 0) -> Seed:
    return Seed(DISKS[disk].name, name)


def test_a_raw_disk_is_copied(bench: Bench) -> None:
    bench.put("mail.raw", bytes(MIB) + DATA)
    bench.run(seed("mail.raw"))
    assert bench.content() == (bytes(MIB) + DATA).ljust(SIZE, b"\0")


def test_a_vhdx_is_copied(bench: Bench) -> None:
    bench.put_vhdx("mail.vhdx")
    bench.run(seed("mail.vhdx"))
    assert bench.content() == (bytes(MIB) + DATA).ljust(SIZE, b"\0")


def test_every_disk_may_have_its_own(bench: Bench) -> None:
    bench.put_vhdx("mail.vhdx")
    bench.put("log.img", DATA)
    bench.run(seed("log.img", 1), seed("mail.vhdx"))
    assert bench.content(0)[MIB : MIB + len(DATA)] == DATA
    assert bench.content(1)[: len(DATA)] == DATA


def test_checksums_are_right(bench: Bench) -> None:
    bench.put("mail.raw", bytes(MIB) + DATA)
    bench.run(seed("mail.raw"))
    bench.writer.close()
    storage = Storage(FencedFiles(bench.files), bench.layout, RawImages())
    buffer = bytearray(SIZE)
    with storage.open_base(1, DISKS) as reader:
        reader.read_into(0, memoryview(buffer), 0)
    assert bytes(buffer[MIB : MIB + len(DATA)]) == DATA


def put_child(bench: Bench, folder: Path) -> None:
    bench.put_vhdx("parent.vhdx", folder=folder)
    parent_path = folder / "parent.vhdx"
    with (
        open_image(bench.files.open_read(parent_path)) as parent,
        create_child(
            bench.files.create(FOLDER / "child.vhdx"),
            parent=parent,
            parent_path=parent_path,
            randomness=SeededRandomness(2),
        ) as child,
    ):
        child.write(b"c" * 512, 0)


def test_a_differencing_disk_is_copied_with_its_parents(bench: Bench) -> None:
    put_child(bench, FOLDER)
    bench.run(seed("child.vhdx"))
    assert bench.content()[:512] == b"c" * 512
    assert bench.content()[MIB : MIB + len(DATA)] == DATA


def test_a_parent_outside_the_folder_is_not_opened(bench: Bench) -> None:
    outside = Path("/secret")
    bench.files.make_directory(outside)
    put_child(bench, outside)
    error = bench.refused(seed("child.vhdx"))
    assert error.code == "seed-unreadable"
    assert "parent is missing" in error.cause
    assert str(FOLDER / "child.vhdx") in error.cause


@pytest.mark.parametrize("name", ["../secret", "..", ".", "", "sub/mail.raw", "/etc/passwd"])
def test_nothing_outside_the_folder_is_opened(bench: Bench, name: str) -> None:
    bench.files.make_directory(FOLDER / "sub")
    for path in (Path("/secret"), FOLDER / "sub" / "mail.raw"):
        bench.files.append(path, DATA)
    error = bench.refused(seed(name))
    assert error.code in {"seed-outside", "seed-missing"}
    assert not any(bench.content())


def test_what_cannot_be_used_is_named(bench: Bench) -> None:
    bench.put("short", b"x" * 700)
    bench.put("empty", b"")
    bench.put("large.raw", bytes(SIZE) + bytes(512))
    bench.put("disk.qcow2", b"QFI\xfb" + bytes(508))
    bench.put("disk.vmdk", b"KDMV" + bytes(508))
    bench.put("disk.vhd", b"conectix" + bytes(504))
    bench.put("broken.vhdx", b"vhdxfile" + bytes(504))
    bench.put_vhdx("large.vhdx", size=2 * MIB)
    bench.files.make_directory(FOLDER / "folder")
    for name, disk, code in (
        ("missing.raw", 0, "seed-missing"),
        ("folder", 0, "seed-missing"),
        ("short", 0, "seed-unreadable"),
        ("empty", 0, "seed-unreadable"),
        ("disk.qcow2", 0, "seed-unreadable"),
        ("disk.vmdk", 0, "seed-unreadable"),
        ("disk.vhd", 0, "seed-unreadable"),
        ("broken.vhdx", 0, "seed-unreadable"),
        ("large.raw", 0, "seed-too-large"),
        ("large.vhdx", 1, "seed-too-large"),
    ):
        error = bench.refused(seed(name, disk))
        assert (error.code, str(FOLDER / name) in error.cause) == (code, True), name


def test_a_seed_for_no_disk_and_a_host_without_seeds_are_refused(bench: Bench) -> None:
    error = bench.refused(Seed("other.vhdx", "mail.raw"))
    assert error.code == "seed-unmatched"
    assert "disk-0.vhdx, disk-1.vhdx" in error.cause
    error = bench.refused(seed("mail.raw"), folder=None)
    assert error.code == "seeds-not-taken"
    assert "storage.seed_folder" in error.remedy


def test_a_copy_goes_on_where_it_was_left(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COPY_BYTES", 65536)
    bench.put("mail.raw", DATA * 3)
    copy = bench.copy(seed("mail.raw"))
    steps = copy.run(bench.writer, no_limit)
    next(steps)
    next(steps)
    steps.close()  # type: ignore[attr-defined]  # a generator
    painted = len(list(copy.run(bench.writer, no_limit)))
    assert painted == len(DATA) * 3 // 65536 - 2
    assert bench.content()[: 3 * len(DATA)] == DATA * 3
    assert list(copy.run(bench.writer, no_limit)) == []


def failing(part: str) -> Callable[[str, Path], None]:
    def before(operation: str, path: Path) -> None:
        if operation == "write" and part in str(path):
            raise OSError(errno.ENOSPC, "injected", str(path))

    return before


def test_a_full_volume_is_the_volume_s_and_not_the_seed_s(bench: Bench) -> None:
    bench.put("mail.raw", DATA)
    bench.files.before = failing("00.img")
    with pytest.raises(OSError, match="injected"):
        bench.run(seed("mail.raw"))
    bench.files.before = None

    def none_left(count: int) -> None:
        raise ReplicaError("disk-full", f"{count}", "Free some.")

    with pytest.raises(ReplicaError, match=str(len(DATA))):
        list(bench.copy(seed("mail.raw")).run(bench.writer, none_left))
