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
    with storage.open_base(1, bench.disks) as images:
        content = bytearray(4096)
        images[0].read_into(memoryview(content), 0)
    assert bytes(content) == bench.contents[1][0]
    with pytest.raises(FileNotFoundError):
        storage.open_base(2, bench.disks)
