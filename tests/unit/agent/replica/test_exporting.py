"""Disks of points as files of their own."""

import errno
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.replica.errors import ReplicaError
from agent.replica.exporting import ExportedDisk, ExportRequest, PointExporter
from agent.replica.images import NewImages, VhdxImages
from agent.replica.raw_images import RawImages
from agent.replica.replica import Replica
from replikera.export_names import ExportFormat
from replikera.vhdx import create_image, open_image
from tests.support.lineages import OUT, LineageBench
from tests.support.replicas import replica_over
from tests.support.seeded_randomness import SeededRandomness
from tests.support.segments import Write
from tests.support.virtual_clock import InlineWorker, VirtualClock

MIB = 1 << 20
SIZES = (MIB, 512 << 10)
ORDER = "77777777-0000-4000-8000-000000000007"


def quietly(_step: str, _done: int, _total: int) -> None:
    return


class Bench:
    def __init__(self) -> None:
        self.lineages = LineageBench(sizes=SIZES)
        self.lineages.deliver(Write(0, 4096, b"a" * 8192), Write(1, 0, b"b" * 512))
        self.lineages.deliver(Write(0, 4096, 4096), Write(0, 65536, b"c" * 4096))
        self.lineages.deliver(Write(1, 512, b"d" * 512))
        self.lineages.apply()
        self.files = self.lineages.files
        self.replica: Replica = replica_over(self.lineages.lineage, VirtualClock())
        formats: dict[ExportFormat, NewImages] = {
            ExportFormat.VHDX: VhdxImages(SeededRandomness(1)),
            ExportFormat.RAW: RawImages(),
        }
        self.exporter = PointExporter(self.files, InlineWorker(), OUT, formats)

    async def export(
        self,
        name: str = "web.raw",
        *,
        sequence: int = 2,
        disk: int = 0,
        progress: Callable[[str, int, int], None] = quietly,
    ) -> ExportedDisk:
        request = ExportRequest(
            ORDER, sequence, disk, name, ExportFormat(name.rsplit(".", maxsplit=1)[-1])
        )
        return await self.exporter.export(self.replica, request, progress)

    async def refusal(self, name: str = "web.raw", **more: Any) -> str:
        with pytest.raises(ReplicaError) as caught:
            await self.export(name, **more)
        return caught.value.code

    def content(self, sequence: int, disk: int) -> bytes:
        return self.lineages.contents[sequence][disk]

    def names(self) -> list[str]:
        return self.files.list_directory(OUT)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("sequence", [1, 2, 3])
@pytest.mark.parametrize("disk", [0, 1])
async def test_a_raw_file_is_the_disk_of_that_point(bench: Bench, sequence: int, disk: int) -> None:
    found = await bench.export(sequence=sequence, disk=disk)
    content = bench.content(sequence, disk)
    assert bench.files.read_bytes(OUT / "web.raw", limit=2 * MIB) == content
    assert found.path == OUT / "web.raw"
    assert found.digest.sha256 == hashlib.sha256(content).digest()
    assert (found.digest.disk_id, found.digest.size) == (
        bench.lineages.disks[disk].disk_id,
        SIZES[disk],
    )
    assert bench.names() == ["web.raw"]


async def test_a_vhdx_file_needs_nothing_else(bench: Bench) -> None:
    await bench.export("web.vhdx", disk=1, sequence=3)
    with bench.files.open_read(OUT / "web.vhdx") as file, open_image(file) as image:
        buffer = bytearray(SIZES[1])
        image.read_into(memoryview(buffer), 0)
    assert bytes(buffer) == bench.content(3, 1)


async def test_it_is_durable_when_it_is_told(bench: Bench) -> None:
    await bench.export()
    assert not [change for change in bench.files.pending() if str(OUT) in change.description]


async def test_the_steps_are_told(bench: Bench) -> None:
    steps: list[str] = []
    await bench.export(progress=lambda step, _done, _total: steps.append(step))
    assert list(dict.fromkeys(steps)) == ["read the point", "write the disk", "read the file back"]


async def test_the_same_order_again_finds_its_file(bench: Bench) -> None:
    first = await bench.export()
    assert await bench.export() == first
    assert bench.names() == ["web.raw"]


@pytest.mark.parametrize("name", ["web.raw", "web.vhdx"])
@pytest.mark.parametrize("there", ["another point", "a longer disk", "garbage", "nothing"])
async def test_a_file_that_is_something_else_is_never_replaced(
    bench: Bench, name: str, there: str
) -> None:
    content = _file_with(bench, name, there)
    assert await bench.refusal(name) == "file-exists"
    assert bench.files.read_bytes(OUT / name, limit=8 * MIB) == content
    assert bench.names() == [name]


def _file_with(bench: Bench, name: str, there: str) -> bytes:
    known = {
        "another point": bench.content(1, 0),
        "a longer disk": bench.content(2, 0) + bytes(MIB),
        "garbage": b"not a disk",
        "nothing": b"",
    }[there]
    with bench.files.create(OUT / name) as file:
        if name.endswith(".vhdx") and len(known) >= MIB:
            image = create_image(file, size=len(known), randomness=SeededRandomness(2))
            image.write(known, 0)
            image.flush()
        else:
            file.write(known, 0)
            file.sync()
    return bench.files.read_bytes(OUT / name, limit=8 * MIB)


async def test_what_a_killed_agent_left_is_begun_anew(bench: Bench) -> None:
    left = OUT / f".web.raw.{ORDER}.new"
    with bench.files.create(left) as file:
        file.write(b"half", 0)
    await bench.export()
    assert bench.names() == ["web.raw"]


async def test_a_file_that_reads_back_otherwise_is_removed_and_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = RawImages.create

    def spoiled(self: RawImages, file: Any, geometry: Any) -> Any:
        image = create(self, file, geometry)
        monkeypatch.setattr(
            type(image), "close", lambda it: (it._file.write(b"!", 9), it._file.close())
        )
        return image

    monkeypatch.setattr(RawImages, "create", spoiled)
    assert await bench.refusal() == "export-differs"
    assert bench.names() == []


async def test_a_disk_or_a_point_that_is_not_there_is_named(bench: Bench) -> None:
    with pytest.raises(ReplicaError, match="no disk 2; it has 0 .* 1 ") as caught:
        await bench.export(disk=2)
    assert caught.value.code == "unknown-disk"
    assert await bench.refusal(sequence=9) == "unknown-point"
    assert bench.names() == []


async def test_a_full_volume_leaves_nothing(bench: Bench) -> None:
    def full(operation: str, path: Path) -> None:
        if operation == "write" and path.parent == OUT:
            raise OSError(errno.ENOSPC, "full")

    bench.files.before = full
    assert await bench.refusal() in {"storage-full", "no-space", "disk-full", "storage-failed"}
    bench.files.before = lambda _operation, _path: None
    assert bench.names() == []
    await bench.export()


async def test_a_crash_at_any_step_leaves_no_file_that_is_believed(bench: Bench) -> None:
    operations: list[str] = []
    bench.files.before = lambda operation, path: (
        operations.append(operation) if path.is_relative_to(OUT) else None
    )
    await bench.export()
    for step in range(len(operations)):
        world = Bench()
        left = step

        def crash(_operation: str, path: Path) -> None:
            nonlocal left
            if path.is_relative_to(OUT):
                left -= 1
                if left < 0:
                    raise KeyboardInterrupt

        world.files.before = crash
        with pytest.raises(KeyboardInterrupt):
            await world.export()
        world.files.before = lambda _operation, _path: None
        if "web.raw" in world.names():
            assert world.files.read_bytes(OUT / "web.raw", limit=2 * MIB) == world.content(2, 0)
        assert (await world.export()).path == OUT / "web.raw"
        assert world.names() == ["web.raw"]
