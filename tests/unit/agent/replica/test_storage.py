"""What the parts of a replica share."""

import pytest

from agent.replica.errors import ReplicaError
from agent.replica.fence import FencedFiles
from agent.replica.storage import RESERVED_BYTES, Storage
from tests.support.lineages import LineageBench
from tests.support.raw_images import RawImages


@pytest.fixture
def bench() -> LineageBench:
    bench = LineageBench()
    bench.deliver_many(1)
    return bench


def storage_of(bench: LineageBench) -> Storage:
    return Storage(FencedFiles(bench.files), bench.layout, RawImages())


def test_space_is_kept_in_reserve(bench: LineageBench) -> None:
    bench.files.capacity = RESERVED_BYTES + (1 << 20)
    free = bench.files.free_space(bench.layout.folder)
    storage = storage_of(bench)
    storage.require_space(free - RESERVED_BYTES)
    with pytest.raises(ReplicaError, match=str(bench.layout.folder)) as error:
        storage.require_space(free - RESERVED_BYTES + 1)
    assert error.value.code == "disk-full"


def test_the_base_is_opened_by_its_attempt(bench: LineageBench) -> None:
    storage = storage_of(bench)
    with storage.open_base(1, bench.disks) as base:
        content = bytearray(4096)
        base.read_into(0, memoryview(content), 0)
    assert bytes(content) == bench.contents[1][0]
    with pytest.raises(FileNotFoundError):
        storage.open_base(2, bench.disks)
    with pytest.raises(FileNotFoundError):
        storage.open_base_for_writing(2, bench.disks)


def test_a_base_that_cannot_be_made_leaves_nothing(bench: LineageBench) -> None:
    bench.files.capacity = bench.files.free_space(bench.layout.folder) * 0
    with pytest.raises(OSError, match="no space"):
        storage_of(bench).create_base(2, bench.disks)
    assert bench.files.status(bench.layout.images(2)) is None


def test_an_earlier_try_of_a_base_goes(bench: LineageBench) -> None:
    storage = storage_of(bench)
    bench.files.make_directory(bench.layout.images(2))
    bench.files.append(bench.layout.images(2) / "00.img", b"half")
    storage.create_base(2, bench.disks).close()
    with storage.open_base(2, bench.disks) as base:
        assert not base.data_extents(0).total()
