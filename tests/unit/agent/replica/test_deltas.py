"""Where segments arrive."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.replica.attempt import Attempt
from agent.replica.errors import ReplicaError, damaged
from agent.replica.lineage import Arriving
from replikera.blocks.segment import RECORD_BYTES
from tests.support.lineages import LineageBench
from tests.support.segments import GENERATION, Segment, Write

WRITES = [Write(0, 0, b"a" * 512), Write(0, 512, b"b" * 512)]


@pytest.fixture
def bench() -> LineageBench:
    bench = LineageBench()
    bench.deliver_many(1)
    return bench


def first_half(bench: LineageBench, segment: Segment) -> Attempt:
    attempt = bench.lineage.deltas.begin(segment.header)
    bench.lineage.deltas.add(attempt, segment.records[:RECORD_BYTES], segment.payloads[:1])
    return attempt


def second_half(bench: LineageBench, attempt: Attempt, segment: Segment) -> None:
    deltas = bench.lineage.deltas
    deltas.add(attempt, segment.records[RECORD_BYTES:], segment.payloads[1:])
    deltas.seal(attempt, segment.trailer, segment.chain_digest, bench.now(2))


def arriving(bench: LineageBench) -> Arriving:
    for _ in bench.lineage.deltas.read_again():
        pass
    return bench.lineage.arriving()


def refused(operate: Callable[[], object]) -> str:
    with pytest.raises(ReplicaError) as error:
        operate()
    return error.value.code


def full(part: str) -> Callable[[str, Path], None]:
    def before(operation: str, path: Path) -> None:
        if operation == "write" and part in path.name:
            raise OSError(errno.ENOSPC, "injected", str(path))

    return before


@pytest.mark.parametrize("is_restarted", [False, True])
def test_an_open_segment_goes_on(bench: LineageBench, *, is_restarted: bool) -> None:
    segment = bench.segment(WRITES)
    first_half(bench, segment)
    if is_restarted:
        bench.reopen()
        assert bench.lineage.deltas.open_attempt is None
    assert arriving(bench) == (1, 1)
    attempt = bench.lineage.deltas.resume(1, 1)
    second_half(bench, attempt, segment)
    assert bench.read(2)[0][:1024] == b"a" * 512 + b"b" * 512
    assert arriving(bench) == (0, 0)


@pytest.mark.parametrize(("number", "records"), [(1, 0), (1, 2), (2, 1)])
def test_it_goes_on_where_it_is_and_nowhere_else(
    bench: LineageBench, number: int, records: int
) -> None:
    first_half(bench, bench.segment(WRITES))
    arriving(bench)
    assert refused(lambda: bench.lineage.deltas.resume(number, records)) == "stale-attempt"
    assert bench.lineage.deltas.resume(1, 1).received_records == 1


def test_what_is_not_durable_yet_is_not_gone_on_with(bench: LineageBench) -> None:
    first_half(bench, bench.segment(WRITES))
    assert refused(lambda: bench.lineage.deltas.resume(1, 1)) == "stale-attempt"
    assert refused(lambda: bench.lineage.deltas.resume(1, 0)) == "stale-attempt"


def test_what_was_not_read_again_is_not_gone_on_with(bench: LineageBench) -> None:
    first_half(bench, bench.segment(WRITES))
    bench.reopen()
    assert refused(lambda: bench.lineage.deltas.resume(1, 1)) == "stale-attempt"


def test_without_an_open_segment_there_is_nothing_to_go_on_with(bench: LineageBench) -> None:
    assert arriving(bench) == (0, 0)
    with pytest.raises(ReplicaError, match="segment 2 of mail is not open here"):
        bench.lineage.deltas.resume(1, 0)


def test_a_later_attempt_takes_the_place_and_an_older_one_does_not(bench: LineageBench) -> None:
    first_half(bench, bench.segment(WRITES, attempt=2))
    bench.reopen()
    older = bench.segment(WRITES, attempt=1)
    assert refused(lambda: bench.lineage.deltas.begin(older.header)) == "stale-attempt"
    later = bench.segment(WRITES, attempt=3)
    second_half(bench, first_half(bench, later), later)
    assert bench.files.list_directory(bench.layout.journal) == [bench.layout.redo_file(2).name]


def test_an_abandoned_one_is_not_found_again(bench: LineageBench) -> None:
    first_half(bench, bench.segment(WRITES, attempt=2))
    bench.reopen()
    assert bench.lineage.abandon(GENERATION, 2, 2) == 3
    assert arriving(bench) == (0, 0)
    bench.reopen()
    assert arriving(bench) == (0, 0)


def test_abandoning_an_older_attempt_leaves_the_open_one(bench: LineageBench) -> None:
    first_half(bench, bench.segment(WRITES, attempt=4))
    bench.lineage.abandon(GENERATION, 2, 3)
    assert arriving(bench) == (4, 1)


@pytest.mark.parametrize("part", ["trailer", "digest"])
def test_one_whose_end_is_refused_is_given_up(bench: LineageBench, part: str) -> None:
    segment = bench.segment(WRITES)
    attempt = first_half(bench, segment)
    trailer = segment.trailer[:-1] if part == "trailer" else segment.trailer
    digest = bytes(32) if part == "digest" else segment.chain_digest
    seal = bench.lineage.deltas.seal
    assert refused(lambda: seal(attempt, trailer, digest, bench.now(2)))
    assert arriving(bench) == (0, 0)
    assert bench.files.list_directory(bench.layout.journal) == []


def test_a_full_volume_ends_the_attempt_and_gives_its_space_back(bench: LineageBench) -> None:
    segment = bench.segment(WRITES)
    attempt = first_half(bench, segment)
    bench.files.before = full(".open")
    assert refused(lambda: second_half(bench, attempt, segment)) == "disk-full"
    bench.files.before = None
    assert arriving(bench) == (0, 0)
    assert bench.files.list_directory(bench.layout.journal) == []


def test_an_attempt_that_the_sync_failed_is_left_for_the_next_start(bench: LineageBench) -> None:
    segment = bench.segment(WRITES)
    attempt = first_half(bench, segment)

    def fail(operation: str, path: Path) -> None:
        if operation == "sync" and path.name.endswith(".open"):
            raise OSError(errno.EIO, "injected", str(path))

    bench.files.before = fail
    assert refused(lambda: bench.lineage.deltas.sync(attempt)) == "storage-failed"
    bench.files.before = None
    assert refused(lambda: second_half(bench, attempt, segment)) == "storage-failed"
    bench.reopen()
    # What it is then is what can be read.
    assert arriving(bench) in {(0, 0), (1, 0), (1, 1)}


def test_what_goes_on_from_lost_points_is_removed(bench: LineageBench) -> None:
    bench.deliver_many(1)
    attempt = first_half(bench, bench.segment(WRITES))
    chronicle = bench.lineage._chronicle
    chronicle.lose(damaged("point 2", "it is lost"))
    deltas = bench.lineage.deltas
    assert refused(lambda: deltas.add(attempt, b"", [])) == "replica-damaged"
    assert bench.files.list_directory(bench.layout.journal) == [bench.layout.redo_file(2).name]
    # It was told: the next one may go on from what is left.
    deltas.begin(bench.segment(WRITES).header)


def test_damage_is_told_to_whoever_begins(bench: LineageBench) -> None:
    bench.lineage._chronicle.lose(damaged("point 2", "it is lost"))
    first = bench.segment(WRITES)
    assert refused(lambda: bench.lineage.deltas.begin(first.header)) == "replica-damaged"
    bench.lineage.deltas.begin(first.header)
