"""An attempt to receive a segment."""

import pytest

from agent.replica.attempt import Attempt
from agent.replica.errors import ReplicaError
from agent.replica.fence import FencedFiles
from agent.replica.storage import Storage
from replikera.blocks.segment import decode_header
from tests.support.lineages import LineageBench
from tests.support.raw_images import RawImages
from tests.support.segments import Segment, Write

WRITES = (Write(0, 0, b"a" * 512), Write(1, 512, 512))


def open_attempt(bench: LineageBench, segment: Segment) -> Attempt:
    storage = Storage(FencedFiles(bench.files), bench.layout, RawImages())
    return Attempt(storage, decode_header(segment.header), bench.lineage.history.newest)


@pytest.mark.parametrize("points", [0, 1])
def test_it_counts_what_was_right(points: int) -> None:
    bench = LineageBench()
    bench.deliver_many(points)
    segment = bench.segment(WRITES)
    attempt = open_attempt(bench, segment)
    with pytest.raises(ReplicaError):
        attempt.add(segment.records, [])
    assert (attempt.received_records, attempt.received_bytes) == (0, 0)
    attempt.add(segment.records, segment.payloads)
    assert (attempt.received_records, attempt.received_bytes) == (2, 512)
    record = attempt.finish(segment.trailer, segment.chain_digest, bench.now(9))
    assert (record.sequence, record.point.sealed_at) == (points + 1, bench.now(9))
    assert record.point_id == segment.chain_digest
    assert record.disks == bench.disks


@pytest.mark.parametrize("points", [0, 1])
def test_discarding_leaves_nothing_and_giving_up_leaves_all(points: int) -> None:
    bench = LineageBench()
    bench.deliver_many(points)
    folder = bench.layout.journal if points else bench.layout.folder
    before = bench.files.list_directory(folder)
    kept = open_attempt(bench, bench.segment(WRITES, attempt=7))
    kept.give_up()
    assert len(bench.files.list_directory(folder)) == len(before) + 1
    again = open_attempt(bench, bench.segment(WRITES, attempt=7))
    again.discard()
    again.discard()
    assert bench.files.list_directory(folder) == before


def test_a_discarded_base_can_be_begun_again() -> None:
    bench = LineageBench()
    segment = bench.segment([Write(0, 0, b"old" + bytes(509))])
    attempt = open_attempt(bench, segment)
    attempt.add(segment.records, segment.payloads)
    bench.deliver(Write(0, 512, b"n" * 512))
    bench.assert_all_points_are_right()
