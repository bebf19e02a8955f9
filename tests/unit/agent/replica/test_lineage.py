"""A replica on disk: what it takes, refuses, keeps through a restart, and does when its storage fails."""

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.replica.errors import ReplicaError
from agent.replica.lineage import create_lineage, open_lineage
from replikera.blocks.segment import RECORD_BYTES
from tests.support.lineages import LineageBench
from tests.support.raw_images import RawImages
from tests.support.segments import ACCEPTED, GENERATION, Write

DATA = b"d" * 512


@pytest.fixture
def bench() -> LineageBench:
    return LineageBench()


def failing(
    wanted: str, part: str, code: int = errno.EIO, *, after: int = 0
) -> Callable[[str, Path], None]:
    """Return a hook that fails the operations on paths with that part, after some that work."""
    left = after

    def before(operation: str, path: Path) -> None:
        nonlocal left
        if operation == wanted and part in str(path):
            left -= 1
            if left < 0:
                raise OSError(code, "injected", str(path))

    return before


def code_of(error: pytest.ExceptionInfo[ReplicaError]) -> str:
    return error.value.code


def test_a_new_replica_has_no_point(bench: LineageBench) -> None:
    head = bench.reopen().history.head
    assert (head.generation, head.sequence, head.attempt_floor) == (GENERATION, 0, 0)
    assert bench.sequences == []


def test_every_point_is_restorable_before_and_after_apply_and_restart(
    bench: LineageBench,
) -> None:
    bench.deliver_many(5)
    assert bench.sequences == [1, 2, 3, 4, 5]
    bench.assert_all_points_are_right()
    bench.apply(2)
    bench.assert_all_points_are_right()
    bench.reopen()
    assert bench.lineage.history.position.sequence == 3
    assert bench.sequences == [1, 2, 3, 4, 5]
    bench.assert_all_points_are_right()


def test_the_head_names_the_newest_point(bench: LineageBench) -> None:
    record = bench.deliver(Write(0, 0, DATA))
    assert bench.lineage.history.head.sequence == 1
    assert bench.lineage.history.head.chain_digest == record.point_id
    assert bench.reopen().history.head.chain_digest == record.point_id


def test_a_point_says_what_its_segment_said(bench: LineageBench) -> None:
    bench.deliver(Write(0, 0, DATA))
    point = bench.deliver(Write(0, 0, DATA), Write(1, 0, 512), name="before the update").point
    assert (point.name, point.kind, point.payload_bytes) == ("before the update", "named", 512)
    assert point.sealed_at == bench.now(2)
    assert bench.reopen().history.points[1] == point
    bench.apply()
    assert bench.reopen().history.points[1] == point


def test_the_machine_of_an_earlier_point_holds_until_another_comes(bench: LineageBench) -> None:
    bench.deliver_many(2)
    machine = bench.lineage.find(1).machine
    assert b"vm-1" in machine
    assert bench.lineage.find(2).machine == machine
    bench.apply()
    assert bench.reopen().find(2).machine == machine


def test_a_new_attempt_replaces_the_one_that_was_open(bench: LineageBench) -> None:
    bench.deliver_many(1)
    segment = bench.segment([Write(0, 0, DATA)])
    first = bench.begin(segment)
    second = bench.begin(segment)
    with pytest.raises(ReplicaError) as error:
        bench.lineage.deltas.add(first, segment.records, segment.payloads)
    assert code_of(error) == "stale-attempt"
    with pytest.raises(ReplicaError, match="not open"):
        bench.lineage.deltas.seal(first, segment.trailer, segment.chain_digest, bench.now(2))
    bench.lineage.deltas.discard(first)
    bench.lineage.deltas.seal(second, segment.trailer, segment.chain_digest, bench.now(2))
    assert bench.sequences == [1, 2]


def test_an_attempt_older_than_the_open_one_is_refused(bench: LineageBench) -> None:
    bench.deliver_many(1)
    bench.begin(bench.segment([Write(0, 0, DATA)], attempt=5))
    with pytest.raises(ReplicaError) as error:
        bench.begin(bench.segment([Write(0, 0, DATA)], attempt=4))
    assert code_of(error) == "stale-attempt"


def test_abandoned_attempts_never_come_back(bench: LineageBench) -> None:
    points = 1
    bench.deliver_many(points)
    segment = bench.segment([Write(0, 0, DATA)], attempt=2)
    opened = bench.begin(segment)
    assert bench.lineage.abandon(GENERATION, points + 1, 2) == 3
    assert bench.lineage.abandon(GENERATION, points + 1, 1) == 3
    assert bench.lineage.history.head.attempt_floor == 3
    with pytest.raises(ReplicaError, match="not open"):
        bench.lineage.deltas.seal(opened, segment.trailer, segment.chain_digest, bench.now(2))
    assert bench.reopen().history.head.attempt_floor == 3
    with pytest.raises(ReplicaError) as error:
        bench.begin(segment)
    assert code_of(error) == "stale-attempt"
    bench.deliver(Write(0, 0, DATA), attempt=3)
    assert bench.lineage.history.head.attempt_floor == 0


def test_only_the_next_sequence_can_be_abandoned(bench: LineageBench) -> None:
    bench.deliver_many(1)
    for generation, sequence in ((GENERATION, 1), (GENERATION, 3), ("other", 2)):
        with pytest.raises(ReplicaError) as error:
            bench.lineage.abandon(generation, sequence, 1)
        assert code_of(error) == "wrong-sequence"


def test_a_refused_batch_changes_nothing(bench: LineageBench) -> None:
    bench.deliver_many(1)
    writes = [Write(0, 0, DATA), Write(0, 512, b"e" * 512)]
    segment = bench.segment(writes)
    opened = bench.lineage.deltas.begin(segment.header)
    first, second = segment.records[:RECORD_BYTES], segment.records[RECORD_BYTES:]
    bench.lineage.deltas.add(opened, first, segment.payloads[:1])
    with pytest.raises(ReplicaError) as error:
        bench.lineage.deltas.add(opened, second, [b"x" * 512])
    assert code_of(error) == "wrong-checksum"
    bench.lineage.deltas.add(opened, second, segment.payloads[1:])
    bench.lineage.deltas.seal(opened, segment.trailer, segment.chain_digest, bench.now(2))
    assert bench.read(2)[0][:1024] == DATA + b"e" * 512


def test_a_wrong_chain_digest_does_not_become_a_point(bench: LineageBench) -> None:
    bench.deliver_many(1)
    segment = bench.segment([Write(0, 0, DATA)])
    opened = bench.begin(segment)
    with pytest.raises(ReplicaError) as error:
        bench.lineage.deltas.seal(opened, segment.trailer, bytes(32), bench.now(2))
    assert code_of(error) == "wrong-digest"
    assert bench.reopen().history.head.sequence == 1


def test_a_segment_without_records_is_a_point(bench: LineageBench) -> None:
    bench.deliver(Write(0, 0, DATA))
    bench.deliver()
    bench.apply()
    bench.assert_all_points_are_right()
    assert bench.sequences == [1, 2]


@pytest.mark.parametrize("is_damaged", [False, True])
def test_an_interrupted_apply_is_read_from_both_sides_and_finished(
    bench: LineageBench, *, is_damaged: bool
) -> None:
    bench.deliver_many(4)
    bench.apply()
    bench.interrupt_apply()
    bench.assert_all_points_are_right()
    bench.reopen()
    assert bench.lineage.history.is_interrupted
    bench.assert_all_points_are_right()
    if is_damaged:
        bench.damage(bench.layout.undo_file(3), 100)
        bench.reopen()
        assert bench.sequences == [3, 4]
        bench.assert_all_points_are_right()
    bench.apply(2)
    assert bench.sequences == ([3, 4] if is_damaged else [1, 2, 3, 4])
    bench.assert_all_points_are_right()


def test_an_undo_is_not_built_again_after_a_restart(bench: LineageBench) -> None:
    bench.deliver_many(3)
    bench.interrupt_apply()
    path = bench.layout.undo_file(2)
    before = bench.files.read_bytes(path, limit=1 << 20)
    bench.reopen()
    bench.apply()
    assert bench.files.read_bytes(path, limit=1 << 20) == before
    bench.assert_all_points_are_right()


def test_applied_redo_is_gone_and_undo_is_there(bench: LineageBench) -> None:
    bench.deliver_many(2)
    bench.apply()
    assert bench.files.list_directory(bench.layout.journal) == []
    assert bench.files.list_directory(bench.layout.undo) == [f"{2:020d}.undo"]
    bench.apply()
    assert bench.sequences == [1, 2]


def test_a_damaged_segment_is_found_before_the_base_is_touched(bench: LineageBench) -> None:
    bench.deliver_many(3)
    bench.damage_payload(bench.layout.redo_file(2), b"\2" * 512)
    touched: list[Path] = []
    bench.files.before = lambda _operation, path: touched.append(path)
    with pytest.raises(ReplicaError) as error:
        bench.apply()
    assert code_of(error) == "replica-damaged"
    assert error.value.is_diverged
    assert not [path for path in touched if path.is_relative_to(bench.layout.images(1))]
    assert bench.sequences == [1]
    bench.assert_all_points_are_right()
    with pytest.raises(ReplicaError, match="checksum"):
        bench.begin(bench.segment([Write(0, 0, DATA)]))


def test_a_segment_damaged_during_its_apply_is_rolled_back(bench: LineageBench) -> None:
    bench.deliver_many(3)
    bench.interrupt_apply()
    bench.reopen()
    bench.damage_payload(bench.layout.redo_file(2), b"\2" * 512)
    with pytest.raises(ReplicaError) as error:
        bench.apply()
    assert error.value.is_diverged
    assert not bench.lineage.history.is_interrupted
    assert bench.sequences == [1]
    bench.assert_all_points_are_right()
    assert bench.files.list_directory(bench.layout.undo) == []


def test_a_full_volume_ends_the_attempt_and_nothing_else(bench: LineageBench) -> None:
    bench.deliver_many(2)
    segment = bench.segment([Write(0, 0, DATA)])
    opened = bench.lineage.deltas.begin(segment.header)
    bench.files.before = failing("write", ".open", errno.ENOSPC)
    with pytest.raises(ReplicaError) as error:
        bench.lineage.deltas.add(opened, segment.records, segment.payloads)
    bench.files.before = None
    assert code_of(error) == "disk-full"
    assert str(bench.layout.folder) in error.value.cause
    assert bench.files.list_directory(bench.layout.journal) == [f"{2:020d}.redo"]
    bench.deliver(Write(0, 0, DATA))
    bench.assert_all_points_are_right()


def test_a_full_volume_is_noticed_before_it_is_full(bench: LineageBench) -> None:
    bench.deliver_many(1)
    segment = bench.segment([Write(0, 0, DATA)])
    opened = bench.lineage.deltas.begin(segment.header)
    bench.files.capacity = 1 << 20
    for attempt in (
        lambda: bench.lineage.deltas.add(opened, segment.records, segment.payloads),
        lambda: bench.lineage.deltas.begin(segment.header),
    ):
        with pytest.raises(ReplicaError) as error:
            attempt()
        assert code_of(error) == "disk-full"
    assert bench.files.list_directory(bench.layout.journal) == []


@pytest.mark.parametrize(
    ("operation", "part"),
    [
        ("write", ".undo.new"),
        ("write", "initial-1"),
        ("write", ".json.new"),
        ("write", "position.1.new"),
        ("rename", ".undo.new"),
    ],
)
def test_an_apply_that_meets_a_full_volume_is_tried_again(
    bench: LineageBench, operation: str, part: str
) -> None:
    bench.deliver_many(3)
    bench.files.before = failing(operation, part, errno.ENOSPC)
    with pytest.raises(ReplicaError) as error:
        bench.apply()
    bench.files.before = None
    assert code_of(error) == "disk-full"
    assert bench.sequences == [1, 2, 3]
    bench.assert_all_points_are_right()
    bench.deliver(Write(0, 0, DATA))
    bench.apply(3)
    assert bench.lineage.history.position.sequence == 4
    bench.assert_all_points_are_right()


@pytest.mark.parametrize(
    ("operation", "part"),
    [
        ("sync", ".open"),
        ("sync_directory", "journal"),
        ("sync", "undo"),
        ("sync_directory", "undo"),
        ("sync", "initial-1"),
        ("sync", "points"),
        ("sync", "position"),
        ("rename", "position.1"),
    ],
)
def test_a_failed_sync_is_never_repeated(bench: LineageBench, operation: str, part: str) -> None:
    bench.deliver_many(3)
    bench.files.before = failing(operation, part)
    with pytest.raises(ReplicaError) as error:
        bench.deliver_many(1)
        bench.apply()
    bench.files.before = None
    assert code_of(error) == "storage-failed"
    segment = bench.segment([Write(0, 0, DATA)])
    for operate in (
        lambda: bench.begin(segment),
        bench.apply,
        lambda: bench.lineage.abandon(GENERATION, 5, 1),
        lambda: bench.read(1),
    ):
        with pytest.raises(ReplicaError) as again:
            operate()
        assert code_of(again) == "storage-failed"
    bench.reopen()
    assert set(bench.sequences) >= {1, 2, 3}
    bench.apply(2)
    bench.contents.setdefault(4, bench.contents[3])
    for sequence in (1, 2, 3):
        assert bench.read(sequence) == bench.contents[sequence]


def test_terms_may_change_within_the_lineage(bench: LineageBench) -> None:
    changed = replace(ACCEPTED, machine_name="post")
    bench.lineage.change_terms(changed)
    assert bench.reopen().accepted == changed


def test_a_replica_that_was_not_completely_accepted_is_none() -> None:
    bench = LineageBench()
    bench.files.remove(bench.layout.accepted)
    assert open_lineage(bench.files, bench.layout.folder, RawImages()) is None
    bench.lineage = create_lineage(bench.files, bench.layout.folder, ACCEPTED, RawImages())
    bench.deliver_many(1)
    bench.assert_all_points_are_right()


def test_terms_that_are_lost_do_not_cost_the_points(bench: LineageBench) -> None:
    bench.deliver_many(1)
    bench.files.remove(bench.layout.accepted)
    with pytest.raises(ReplicaError) as error:
        create_lineage(bench.files, bench.layout.folder, ACCEPTED, RawImages())
    assert code_of(error) == "replica-damaged"


def test_an_unknown_point_is_refused_by_name(bench: LineageBench) -> None:
    bench.deliver_many(1)
    with pytest.raises(ReplicaError, match="mail has no recovery point 2") as error:
        bench.read(2)
    assert code_of(error) == "unknown-point"


def test_a_segment_behind_a_damaged_one_is_not_sealed() -> None:
    bench = LineageBench()
    bench.deliver_many(2)
    segment = bench.segment([Write(0, 0, b"d" * 512)])
    opened = bench.begin(segment)
    bench.damage_payload(bench.layout.redo_file(2), bytes([2]) * 512)
    with pytest.raises(ReplicaError):
        bench.apply()

    with pytest.raises(ReplicaError) as raised:
        bench.lineage.deltas.seal(opened, segment.trailer, segment.chain_digest, bench.now(3))

    assert raised.value.code == "replica-damaged"
    assert bench.sequences == [1]
    assert bench.read(1) == bench.contents[1]
    bench.reopen()
    assert bench.read(1) == bench.contents[1]
