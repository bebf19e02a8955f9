"""Which segment may come next."""

from dataclasses import replace

import pytest

from agent.replica.admission import admit, admit_pass
from agent.replica.errors import ReplicaError
from agent.replica.history import Head
from tests.support.lineages import LineageBench
from tests.support.segments import (
    ACCEPTED,
    GENERATION,
    NOTHING,
    PROTECTION,
    Segment,
    build_segment,
    disks_of,
)

DISKS = disks_of(4096, 2048)


@pytest.fixture(scope="module")
def bench() -> LineageBench:
    bench = LineageBench()
    bench.deliver_many(2)
    bench.lineage.abandon(GENERATION, 3, 4)
    return bench


def refusal(bench: LineageBench, segment: Segment) -> ReplicaError:
    with pytest.raises(ReplicaError) as error:
        admit(segment.header, ACCEPTED, bench.lineage.history)
    return error.value


def test_the_next_segment_is_admitted(bench: LineageBench) -> None:
    head = bench.lineage.history.head
    header = admit(
        build_segment(head, DISKS, [], attempt=5).header, ACCEPTED, bench.lineage.history
    )
    assert (header.sequence, header.attempt, header.disks) == (3, 5, DISKS)


def test_a_renamed_disk_is_the_same_disk(bench: LineageBench) -> None:
    renamed = tuple(replace(disk, name="x.vhdx") for disk in DISKS)
    segment = build_segment(bench.lineage.history.head, renamed, [], attempt=5)
    assert admit(segment.header, ACCEPTED, bench.lineage.history).disks == renamed


@pytest.mark.parametrize(
    "disks",
    [
        disks_of(4096),
        disks_of(4096, 2048, 512),
        disks_of(4096, 4096),
        tuple(reversed(DISKS)),
        (replace(DISKS[0], disk_id="other"), DISKS[1]),
    ],
)
def test_other_disks_are_refused(bench: LineageBench, disks: tuple[()]) -> None:
    error = refusal(bench, build_segment(bench.lineage.history.head, disks, [], attempt=5))
    assert error.code == "disks-changed"
    assert not error.is_diverged


@pytest.mark.parametrize("sequence", [0, 1, 3, 9])
def test_another_sequence_is_refused_and_the_right_one_named(
    bench: LineageBench, sequence: int
) -> None:
    head = NOTHING if sequence == 0 else Head(GENERATION, sequence, b"\1" * 32, 0)
    error = refusal(bench, build_segment(head, DISKS, [], attempt=5))
    assert (error.code, error.is_diverged) == ("wrong-sequence", False)
    assert "the next one is 3" in error.cause


def test_another_history_is_diverged(bench: LineageBench) -> None:
    head = replace(bench.lineage.history.head, chain_digest=b"\1" * 32)
    error = refusal(bench, build_segment(head, DISKS, [], attempt=5))
    assert (error.code, error.is_diverged) == ("diverged", True)


def test_an_abandoned_attempt_is_refused(bench: LineageBench) -> None:
    error = refusal(bench, build_segment(bench.lineage.history.head, DISKS, [], attempt=4))
    assert error.code == "stale-attempt"
    assert "below 5" in error.cause


def test_another_owner_is_refused(bench: LineageBench) -> None:
    head = bench.lineage.history.head
    other = GENERATION[:-1] + "9"
    error = refusal(bench, build_segment(head, DISKS, [], attempt=5, protection_id=other))
    assert error.code == "wrong-protection"
    assert PROTECTION in error.cause
    error = refusal(bench, build_segment(head, DISKS, [], attempt=5, epoch=2))
    assert error.code == "wrong-epoch"
    error = refusal(bench, build_segment(replace(head, generation=other), DISKS, [], attempt=5))
    assert (error.code, error.is_diverged) == ("wrong-generation", True)


def test_the_first_point_is_a_pass_and_no_other_is() -> None:
    empty = LineageBench().lineage.history
    first = build_segment(NOTHING, DISKS, [])
    assert admit_pass(first.header, ACCEPTED, empty).disks == DISKS
    with pytest.raises(ReplicaError) as error:
        admit(first.header, ACCEPTED, empty)
    assert error.value.code == "wrong-kind"


def test_a_segment_is_no_pass(bench: LineageBench) -> None:
    history = bench.lineage.history
    segment = build_segment(history.head, DISKS, [], attempt=5)
    with pytest.raises(ReplicaError) as error:
        admit_pass(segment.header, ACCEPTED, history)
    assert error.value.code == "wrong-kind"
    with pytest.raises(ReplicaError) as error:
        admit_pass(build_segment(NOTHING, DISKS, []).header, ACCEPTED, history)
    assert error.value.code == "wrong-sequence"


def test_a_malformed_header_is_refused(bench: LineageBench) -> None:
    segment = build_segment(bench.lineage.history.head, DISKS, [], attempt=5)
    error = refusal(bench, replace(segment, header=segment.header[:-1]))
    assert error.code == "malformed-segment"
    assert PROTECTION in error.cause
