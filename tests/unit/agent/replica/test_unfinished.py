"""What an earlier process was receiving."""

import pytest

from agent.replica.pass_file import PassState, write_pass
from tests.support.lineages import LineageBench
from tests.support.passes import PassSource, open_pass, send_chunk
from tests.support.segments import GENERATION, Write

DATA = b"d" * 512


@pytest.fixture
def bench() -> LineageBench:
    return LineageBench()


def begun(bench: LineageBench, attempt: int) -> PassSource:
    source = PassSource(bench.disks, attempt=attempt)
    send_chunk(bench.lineage, open_pass(bench.lineage, source), source.chunk(Write(0, 0, DATA)))
    return source


def folders(bench: LineageBench) -> list[str]:
    names = bench.files.list_directory(bench.layout.folder)
    return [name for name in names if bench.layout.is_images(name)]


def state_of(bench: LineageBench) -> PassState | None:
    return bench.lineage.passes.state


def test_the_newest_pass_is_kept_and_all_others_go(bench: LineageBench) -> None:
    source = begun(bench, 3)
    state = state_of(bench)
    assert state is not None
    for other in ("initial-1", "initial-x"):
        bench.files.make_directory(bench.layout.folder / other)
    write_pass(bench.files, bench.layout, PassState.begun(source._header, is_seeded=False))
    write_pass(bench.files, bench.layout, state)
    bench.files.make_directory(bench.layout.images(5))
    bench.reopen()
    assert state_of(bench) == state
    assert folders(bench) == ["initial-3"]


def test_images_without_a_state_go(bench: LineageBench) -> None:
    bench.lineage.passes.begin(PassSource(bench.disks).header)
    bench.reopen()
    assert state_of(bench) is None
    assert folders(bench) == []


def test_a_damaged_state_is_none(bench: LineageBench) -> None:
    begun(bench, 2)
    bench.damage(bench.layout.pass_file(2), 10)
    bench.reopen()
    assert state_of(bench) is None
    assert folders(bench) == []


def test_an_abandoned_pass_goes_although_its_files_are_back(bench: LineageBench) -> None:
    begun(bench, 2)
    state = state_of(bench)
    assert state is not None
    bench.lineage.abandon(GENERATION, 1, 2)
    bench.files.make_directory(bench.layout.images(2))
    write_pass(bench.files, bench.layout, state)
    bench.reopen()
    assert state_of(bench) is None
    assert folders(bench) == []


def test_after_the_first_point_only_its_base_is_left(bench: LineageBench) -> None:
    bench.deliver(Write(0, 0, DATA))
    bench.files.make_directory(bench.layout.images(2))
    bench.reopen()
    assert folders(bench) == ["initial-1"]
    assert bench.files.status(bench.layout.pass_file(1)) is None
    assert state_of(bench) is None
    bench.assert_all_points_are_right()


def opened(bench: LineageBench, attempt: int) -> None:
    segment = bench.segment([Write(0, 0, DATA)], attempt=attempt)
    attempt_opened = bench.lineage.deltas.begin(segment.header)
    bench.lineage.deltas.add(attempt_opened, segment.records, segment.payloads)


def journal(bench: LineageBench) -> list[str]:
    return bench.files.list_directory(bench.layout.journal)


def test_the_newest_open_segment_is_kept_and_all_others_go(bench: LineageBench) -> None:
    bench.deliver_many(1)
    opened(bench, 3)
    kept = bench.layout.open_file(2, 3)
    data = bench.files.read_bytes(kept, limit=1 << 20)
    for other in (bench.layout.open_file(2, 1), bench.layout.open_file(3, 1)):
        bench.files.append(other, data)
    bench.files.append(bench.layout.open_file(2, 4), b"torn")
    bench.files.append(bench.layout.journal / "what.open", b"")
    bench.reopen()
    assert journal(bench) == [kept.name]


def test_a_segment_that_does_not_go_on_from_the_head_goes(bench: LineageBench) -> None:
    bench.deliver_many(1)
    opened(bench, 1)
    data = bench.files.read_bytes(bench.layout.open_file(2, 1), limit=1 << 20)
    bench.deliver_many(1)
    bench.files.append(bench.layout.open_file(2, 1), data)
    bench.reopen()
    assert journal(bench) == [bench.layout.redo_file(2).name]


def test_an_abandoned_segment_goes_although_its_file_is_back(bench: LineageBench) -> None:
    bench.deliver_many(1)
    opened(bench, 1)
    data = bench.files.read_bytes(bench.layout.open_file(2, 1), limit=1 << 20)
    bench.lineage.abandon(GENERATION, 2, 1)
    bench.files.append(bench.layout.open_file(2, 1), data)
    bench.reopen()
    assert journal(bench) == []


def test_before_the_first_point_there_is_no_open_segment(bench: LineageBench) -> None:
    bench.files.append(bench.layout.open_file(1, 1), b"old")
    bench.reopen()
    assert journal(bench) == []
