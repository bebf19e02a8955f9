"""History and position of a replica."""

from dataclasses import replace
from pathlib import Path

import pytest

from agent.replica.chronicle import Chronicle
from agent.replica.errors import ReplicaError, damaged
from agent.replica.fence import FencedFiles
from agent.replica.history import History
from agent.replica.position import read_position
from agent.replica.storage import Storage
from tests.support.lineages import LineageBench
from tests.support.raw_images import RawImages

LOST = damaged("a segment", "a bit is wrong")


@pytest.fixture
def bench() -> LineageBench:
    bench = LineageBench()
    bench.deliver_many(3)
    return bench


def chronicle_of(bench: LineageBench) -> Chronicle:
    storage = Storage(FencedFiles(bench.files), bench.layout, RawImages())
    return Chronicle(storage, bench.lineage.history)


def test_the_position_is_durable_before_the_history_says_so(bench: LineageBench) -> None:
    chronicle = chronicle_of(bench)
    durable: list[bool] = []

    def change(history: History) -> History:
        durable.append(not bench.files.pending())
        return history

    chronicle.move(lambda position: replace(position, floor_sequence=4, floor_attempt=9), change)
    assert durable == [True]
    assert chronicle.history.position.floor_attempt == 9
    found = read_position(FencedFiles(bench.files), bench.layout)
    assert found == chronicle.history.position


def test_a_first_point_is_begun_with_its_base(bench: LineageBench) -> None:
    empty = LineageBench()
    chronicle = chronicle_of(empty)
    record = bench.lineage.find(1)
    chronicle.begin(record, 4)
    assert chronicle.history.below == (record,)
    assert chronicle.history.position.initial_attempt == 4
    assert empty.files.status(empty.layout.point_file(1)) is not None


def test_a_point_is_appended_to_the_newest(bench: LineageBench) -> None:
    chronicle = chronicle_of(bench)
    last = bench.lineage.find(3)
    chronicle.change(lambda history: replace(history, above=history.above[:-1]))
    chronicle.append(last)
    assert chronicle.history.newest == last
    with pytest.raises(AssertionError):
        chronicle.append(last)


def test_damage_is_told_once_and_keeps_points_from_being_appended(bench: LineageBench) -> None:
    chronicle = chronicle_of(bench)
    last = bench.lineage.find(3)
    chronicle.require_sound()
    chronicle.lose(LOST, lambda history: replace(history, above=history.above[:-1]))
    with pytest.raises(ReplicaError, match="a bit is wrong"):
        chronicle.append(last)
    with pytest.raises(ReplicaError, match="a bit is wrong"):
        chronicle.require_sound()
    assert chronicle.damage is None
    chronicle.require_sound()
    chronicle.append(last)


def test_damage_stays_while_the_base_is_in_doubt(bench: LineageBench) -> None:
    chronicle = chronicle_of(bench)
    chronicle.lose(LOST, lambda history: replace(history, must_roll_back=True))
    for _ in range(2):
        with pytest.raises(ReplicaError, match="a bit is wrong"):
            chronicle.require_sound()


def test_after_a_failed_sync_nothing_begins(bench: LineageBench) -> None:
    chronicle = chronicle_of(bench)

    def fail(operation: str, path: Path) -> None:
        if operation == "sync":
            raise OSError(5, "injected", str(path))

    bench.files.before = fail
    with pytest.raises(ReplicaError) as error, chronicle.errors():
        chronicle.move(lambda position: position)
    assert error.value.code == "storage-failed"
    bench.files.before = None
    assert chronicle.failure is not None
    with pytest.raises(ReplicaError, match="could not be made durable"), chronicle.errors():
        raise AssertionError("not reached")
