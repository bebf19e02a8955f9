"""What a replica is after a crash: the cases that the exploration does not reach by itself."""

from dataclasses import replace

import pytest

from agent.replica.accepted import write_accepted
from agent.replica.errors import ReplicaError
from agent.replica.lineage import open_lineage
from agent.replica.undo import open_undo
from tests.support.lineages import LineageBench
from tests.support.raw_images import RawImages
from tests.support.segments import ACCEPTED, Write


@pytest.fixture
def bench() -> LineageBench:
    bench = LineageBench()
    bench.deliver_many(4)
    bench.apply(2)
    return bench


def other_time_line(count: int) -> LineageBench:
    """Return a replica of the same protection whose points have the same numbers and other content."""
    bench = LineageBench()
    for number in range(1, count + 1):
        bench.deliver(Write(0, 0, bytes([200 + number]) * 2048), Write(1, 0, 512))
    return bench


def refused(bench: LineageBench) -> ReplicaError:
    with pytest.raises(ReplicaError) as error:
        open_lineage(bench.files, bench.layout.folder, RawImages())
    return error.value


def test_redo_that_is_back_from_the_dead_is_removed(bench: LineageBench) -> None:
    path = bench.layout.redo_file(4)
    data = bench.files.read_bytes(path, limit=1 << 20)
    bench.apply()
    bench.files.append(path, data)
    assert bench.reopen().history.position.sequence == 4
    assert bench.files.list_directory(bench.layout.journal) == []
    bench.assert_all_points_are_right()


def test_redo_of_another_time_line_is_ignored_and_replaced(bench: LineageBench) -> None:
    other = other_time_line(5)
    path = bench.layout.redo_file(5)
    bench.files.append(path, other.files.read_bytes(path, limit=1 << 20))
    bench.reopen()
    assert bench.sequences == [1, 2, 3, 4]
    bench.deliver_many(1)
    bench.reopen()
    assert bench.sequences == [1, 2, 3, 4, 5]
    bench.apply(2)
    bench.assert_all_points_are_right()


def test_undo_of_another_time_line_is_removed_and_not_used(bench: LineageBench) -> None:
    other = other_time_line(4)
    other.apply(3)
    path = bench.layout.undo_file(4)
    bench.files.append(path, other.files.read_bytes(path, limit=1 << 20))
    bench.reopen()
    assert not bench.lineage.history.is_interrupted
    assert bench.files.status(path) is None
    bench.apply()
    bench.assert_all_points_are_right()
    with open_undo(bench.files, path) as undo:
        assert undo.header.point_id == bench.lineage.find(4).point_id


@pytest.mark.parametrize("sequence", [2, 3])
def test_history_ends_where_the_chain_of_identities_does(
    bench: LineageBench, sequence: int
) -> None:
    other = other_time_line(4)
    other.apply(3)
    path = bench.layout.undo_file(sequence)
    bench.files.remove(path)
    bench.files.append(path, other.files.read_bytes(path, limit=1 << 20))
    bench.reopen()
    assert bench.sequences == list(range(sequence, 5))
    bench.assert_all_points_are_right()


def test_history_ends_at_a_point_of_another_time_line(bench: LineageBench) -> None:
    other = other_time_line(1)
    path = bench.layout.point_file(1)
    bench.files.remove(path)
    bench.files.append(path, other.files.read_bytes(path, limit=1 << 20))
    bench.reopen()
    assert bench.sequences == [2, 3, 4]


def test_undo_beyond_the_next_is_removed(bench: LineageBench) -> None:
    bench.files.append(bench.layout.undo_file(6), b"whatever")
    bench.reopen()
    assert bench.files.status(bench.layout.undo_file(6)) is None
    bench.assert_all_points_are_right()


@pytest.mark.parametrize("is_gone", [False, True])
def test_without_its_redo_an_interrupted_apply_is_rolled_back(
    bench: LineageBench, *, is_gone: bool
) -> None:
    bench.interrupt_apply()
    path = bench.layout.redo_file(4)
    if is_gone:
        bench.files.remove(path)
    else:
        bench.damage(path, -1)
    bench.reopen()
    assert bench.sequences == [1, 2, 3]
    bench.assert_all_points_are_right()
    assert bench.files.status(bench.layout.undo_file(4)) is None
    images = bench.layout.images(1)
    for number, content in enumerate(bench.contents[3]):
        assert bench.files.read_bytes(images / f"{number:02d}.img", limit=1 << 20) == content


def test_without_both_everything_is_refused(bench: LineageBench) -> None:
    bench.interrupt_apply()
    bench.damage(bench.layout.redo_file(4), -1)
    bench.damage(bench.layout.undo_file(4), -1)
    error = refused(bench)
    assert (error.code, error.is_diverged) == ("replica-damaged", True)


def test_damaged_undo_costs_the_points_below_it_and_no_file(bench: LineageBench) -> None:
    bench.damage(bench.layout.undo_file(3), 3)
    bench.reopen()
    assert bench.sequences == [3, 4]
    bench.assert_all_points_are_right()
    assert bench.files.status(bench.layout.undo_file(2)) is not None
    assert bench.files.status(bench.layout.point_file(1)) is not None


def test_a_damaged_segment_costs_the_points_from_it_on_and_no_file(bench: LineageBench) -> None:
    bench.deliver_many(1)
    bench.damage(bench.layout.redo_file(4), -1)
    bench.reopen()
    assert bench.sequences == [1, 2, 3]
    assert bench.files.status(bench.layout.redo_file(5)) is not None


def test_a_damaged_point_file_is_refused_at_the_base_and_cuts_below_it(
    bench: LineageBench,
) -> None:
    bench.damage(bench.layout.point_file(1), 5)
    bench.reopen()
    assert bench.sequences == [2, 3, 4]
    bench.damage(bench.layout.point_file(3), 5)
    assert refused(bench).code == "replica-damaged"


def test_a_missing_point_file_of_the_base_is_damage(bench: LineageBench) -> None:
    bench.files.remove(bench.layout.point_file(3))
    assert refused(bench).code == "replica-damaged"


def test_one_copy_of_the_position_is_enough_and_none_is_not(bench: LineageBench) -> None:
    first, second = bench.layout.positions
    bench.damage(first, 40)
    bench.reopen()
    bench.damage(second, 40)
    bench.reopen()
    bench.assert_all_points_are_right()
    bench.damage(first, 40)
    bench.damage(second, 40)
    assert refused(bench).code == "replica-damaged"


def test_terms_of_another_epoch_are_refused(bench: LineageBench) -> None:
    write_accepted(bench.files, bench.layout, replace(ACCEPTED, epoch=2))
    assert refused(bench).code == "replica-damaged"


def test_unsealed_files_are_removed(bench: LineageBench) -> None:
    layout = bench.layout
    for path in (
        layout.undo_file(4).with_suffix(".undo.new"),
        layout.point_file(4).with_suffix(".json.new"),
        layout.open_file(5, 1),
        layout.folder / "position.0.new",
        layout.folder / "replica.json.new",
    ):
        bench.files.append(path, b"half")
    bench.files.make_directory(layout.images(9))
    bench.files.append(layout.images(9) / "00.img", b"half")
    bench.reopen()
    for folder in layout.directories:
        names = bench.files.list_directory(folder)
        assert not [name for name in names if name.endswith((".new", ".open"))]
    assert bench.files.status(layout.images(9)) is None
    assert bench.files.status(layout.images(1)) is not None
    bench.assert_all_points_are_right()


def test_what_a_release_left_behind_is_removed(bench: LineageBench) -> None:
    bench.files.remove(bench.layout.undo_file(3))
    bench.reopen()
    assert bench.sequences == [3, 4]
    assert bench.files.list_directory(bench.layout.undo) == []
    assert bench.files.list_directory(bench.layout.points) == [bench.layout.point_file(3).name]


def test_undo_that_no_intent_names_is_removed(bench: LineageBench) -> None:
    bench.interrupt_apply()
    for path in bench.layout.intents:
        bench.files.remove(path)
    bench.reopen()
    assert not bench.lineage.history.is_interrupted
    assert bench.files.status(bench.layout.undo_file(4)) is None


def test_one_copy_of_the_intent_is_enough_and_none_is_not(bench: LineageBench) -> None:
    bench.interrupt_apply()
    first, second = bench.layout.intents
    bench.damage(first, 600)
    bench.reopen()
    assert bench.lineage.history.in_doubt == 1
    bench.assert_all_points_are_right()
    bench.damage(second, 600)
    assert refused(bench).code == "replica-damaged"


def test_an_intent_of_an_earlier_apply_means_nothing(bench: LineageBench) -> None:
    kept = [bench.files.read_bytes(path, limit=1 << 20) for path in bench.layout.intents]
    bench.apply()
    bench.deliver_many(2)
    for path, data in zip(bench.layout.intents, kept, strict=True):
        bench.files.remove(path)
        bench.files.append(path, data)
    bench.reopen()
    assert not bench.lineage.history.is_interrupted
    bench.apply(2)
    bench.assert_all_points_are_right()


def test_a_batch_is_taken_back_to_where_its_redo_is_lost(bench: LineageBench) -> None:
    bench.deliver_many(3)
    bench.interrupt_apply(together=4)
    bench.damage(bench.layout.redo_file(6), -1)
    bench.reopen()
    assert bench.sequences == [1, 2, 3, 4, 5]
    assert bench.lineage.history.position.sequence == 3
    bench.assert_all_points_are_right()
    bench.apply(together=4)
    bench.assert_all_points_are_right()


def test_what_points_have_in_common_is_in_memory_once(bench: LineageBench) -> None:
    bench.reopen()
    assert len({id(record.machine) for record in bench.lineage.history.records}) == 1
    assert len({id(record.disks) for record in bench.lineage.history.records}) == 1
