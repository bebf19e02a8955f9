"""Digests of the base of a pass."""

import pytest
from blake3 import blake3

from agent.replica import digests as module
from agent.replica.base_images import BaseWriter
from agent.replica.digests import check_ranges, pass_digests
from agent.replica.errors import ReplicaError
from agent.replica.fence import FencedFiles
from agent.replica.pieces import Piece
from agent.replica.sidecar import GRANULE_BYTES
from agent.replica.storage import Storage
from tests.support.lineages import LineageBench
from tests.support.raw_images import RawImages
from tests.support.segments import disks_of

SIZE = 2 * GRANULE_BYTES + 4096
DISKS = disks_of(SIZE)
DATA = bytes(range(256)) * 512


@pytest.fixture
def bench() -> LineageBench:
    return LineageBench(sizes=(SIZE,))


@pytest.fixture
def storage(bench: LineageBench) -> Storage:
    return Storage(FencedFiles(bench.files), bench.layout, RawImages())


@pytest.fixture
def writer(storage: Storage) -> BaseWriter:
    writer = storage.create_base(1, DISKS)
    writer.paint(Piece(0, 512, len(DATA), memoryview(DATA)))
    return writer


CONTENT = (bytes(512) + DATA).ljust(SIZE, b"\0")


@pytest.mark.parametrize(
    "asked", [(0, 512), (512, 1024), (0, SIZE), (SIZE - 512, 512), (65024, 1024), (1, 3)]
)
def test_any_range_is_digested(writer: BaseWriter, asked: tuple[int, int]) -> None:
    offset, length = asked
    (*_, found) = pass_digests(writer, [(0, offset, length)])
    assert found == blake3(CONTENT[offset : offset + length]).digest()


def test_others_have_their_turn_between(
    writer: BaseWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STEP_BYTES", GRANULE_BYTES)
    found = list(pass_digests(writer, [(0, 0, 512), (0, GRANULE_BYTES, 512), (0, 1024, 512)]))
    assert [len(part) for part in found] == [32, 64, 96, 96]


def test_checksums_are_brought_up_to_what_is_there(storage: Storage, writer: BaseWriter) -> None:
    writer.close()
    path = storage.layout.images(1) / "00.img"
    with storage.files.open_write(path) as file:
        file.write(b"crash" * 100, GRANULE_BYTES)
    with storage.open_base(1, DISKS) as reader, pytest.raises(Exception, match="disk-0"):
        reader.read_into(0, memoryview(bytearray(512)), GRANULE_BYTES)
    again = storage.open_base_for_writing(1, DISKS)
    for _ in pass_digests(again, [(0, GRANULE_BYTES, 512)]):
        pass
    again.close()
    buffer = bytearray(500)
    with storage.open_base(1, DISKS) as reader:
        reader.read_into(0, memoryview(buffer), GRANULE_BYTES)
    assert bytes(buffer) == b"crash" * 100


@pytest.mark.parametrize("asked", [(1, 0, 512), (0, SIZE, 1), (0, 0, SIZE + 1)])
def test_what_is_outside_is_refused(asked: tuple[int, int, int]) -> None:
    check_ranges(DISKS, [(0, 0, SIZE)], "it")
    with pytest.raises(ReplicaError) as error:
        check_ranges(DISKS, [(0, 0, 512), asked], "the pass")
    assert error.value.code == "out-of-bounds"
    assert "the pass" in error.value.cause
