"""An attempt to receive a segment."""

import pytest

from agent.replica.attempt import Attempt, begin_attempt, find_attempt, record_of
from agent.replica.errors import ReplicaError
from agent.replica.fence import FencedFiles
from agent.replica.storage import Storage
from replikera.blocks.segment import decode_header, decode_trailer
from tests.support.lineages import LineageBench
from tests.support.raw_images import RawImages
from tests.support.segments import Segment, Write

WRITES = (Write(0, 0, b"a" * 512), Write(1, 512, 512))


@pytest.fixture
def bench() -> LineageBench:
    bench = LineageBench()
    bench.deliver_many(1)
    return bench


def storage_of(bench: LineageBench) -> Storage:
    return Storage(FencedFiles(bench.files), bench.layout, RawImages())


def opened(bench: LineageBench, segment: Segment) -> Attempt:
    return begin_attempt(storage_of(bench), decode_header(segment.header))


def test_it_counts_what_was_right(bench: LineageBench) -> None:
    segment = bench.segment(WRITES)
    attempt = opened(bench, segment)
    with pytest.raises(ReplicaError):
        attempt.add(segment.records, [])
    assert (attempt.received_records, attempt.received_bytes) == (0, 0)
    attempt.add(segment.records, segment.payloads)
    assert (attempt.received_records, attempt.received_bytes) == (2, 512)
    assert attempt.durable_records == 0
    attempt.sync()
    assert attempt.durable_records == 2
    before = bench.lineage.find(1)
    record = attempt.finish(segment.trailer, segment.chain_digest, before, bench.now(9))
    assert (record.sequence, record.point.sealed_at) == (2, bench.now(9))
    assert record.point_id == segment.chain_digest
    assert record.disks == bench.disks
    assert record.machine == before.machine


def test_discarding_leaves_nothing_and_giving_up_leaves_all(bench: LineageBench) -> None:
    before = bench.files.list_directory(bench.layout.journal)
    kept = opened(bench, bench.segment(WRITES, attempt=7))
    kept.give_up()
    assert len(bench.files.list_directory(bench.layout.journal)) == len(before) + 1
    again = opened(bench, bench.segment(WRITES, attempt=7))
    again.discard()
    again.discard()
    assert bench.files.list_directory(bench.layout.journal) == before


def test_what_an_earlier_process_received_is_read_before_more_comes(bench: LineageBench) -> None:
    segment = bench.segment(WRITES)
    left = opened(bench, segment)
    left.add(segment.records, segment.payloads)
    left.give_up()
    found = find_attempt(storage_of(bench), decode_header(segment.header))
    states = [found.is_read]
    states += [found.is_read for _ in found.read_again()]
    assert states == [False, False]
    assert found.is_read
    assert (found.received_records, found.received_bytes, found.durable_records) == (2, 512, 2)
    assert list(found.read_again()) == []


def test_a_point_has_the_machine_of_its_trailer_or_of_the_one_before(bench: LineageBench) -> None:
    segment = bench.segment(WRITES)
    header, trailer = decode_header(segment.header), decode_trailer(segment.trailer)
    record = record_of(header, trailer, segment.chain_digest, b"before", bench.now(2))
    assert record.machine == b"before"
    assert record.previous == header.previous
