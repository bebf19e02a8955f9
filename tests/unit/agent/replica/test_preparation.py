"""Before-images and sums, over a base that may be damaged."""

import numpy as np
import pytest

from agent.replica.errors import ReplicaError
from agent.replica.intent import open_intent
from agent.replica.preparation import granules_in
from agent.replica.sidecar import DAMAGED, GRANULE_BYTES, HEADER_BYTES, sidecar_path
from replikera.blocks.extents import Extents
from tests.support.lineages import LineageBench
from tests.support.segments import Write

FILL = [Write(0, number * GRANULE_BYTES, b"f" * GRANULE_BYTES) for number in range(3)]


@pytest.fixture
def bench() -> LineageBench:
    bench = LineageBench(sizes=(4 * GRANULE_BYTES,))
    bench.deliver(*FILL)
    return bench


def rot(bench: LineageBench, place: int) -> None:
    bench.damage(bench.layout.images(1) / "00.img", place)


def sums(bench: LineageBench) -> dict[int, tuple[int, int]]:
    with open_intent(bench.files, bench.layout.intents[0]) as intent:
        entries = np.concatenate([*intent.frames()])
    return {
        granule: (before, after)
        for _, granule, before, after in (entry.tolist() for entry in entries)
    }


def trouble_of(bench: LineageBench) -> str:
    return bench.lineage.trouble.code if bench.lineage.trouble else ""


def readable(bench: LineageBench, sequence: int) -> list[bool]:
    """Tell of each granule whether it is given back, and check that it is right then."""
    found = []
    with bench.lineage.open_view(sequence) as view:
        for start in range(0, 4 * GRANULE_BYTES, GRANULE_BYTES):
            buffer = bytearray(GRANULE_BYTES)
            try:
                view.read_into(0, memoryview(buffer), start)
            except ReplicaError as error:
                if error.code != "base-damaged":
                    raise
                found.append(False)
                continue
            assert buffer == bench.contents[sequence][0][start : start + GRANULE_BYTES]
            found.append(True)
    return found


def test_only_granules_that_get_something_new_are_touched(bench: LineageBench) -> None:
    bench.deliver(Write(0, 512, b"x" * 512), Write(0, 3 * GRANULE_BYTES, GRANULE_BYTES))
    bench.apply()
    assert list(sums(bench)) == [0]


def test_rot_is_kept_apart_from_what_is_right(bench: LineageBench) -> None:
    rot(bench, GRANULE_BYTES + 4096)
    bench.deliver(Write(0, GRANULE_BYTES + 512, b"x" * 512))
    bench.apply()
    assert sums(bench)[1][1] == DAMAGED
    assert readable(bench, 2) == [True, False, True, True]
    assert readable(bench, 1) == [True, False, True, True]
    assert trouble_of(bench) == "base-damaged"


def test_a_granule_that_is_written_whole_is_right_again_from_then_on(
    bench: LineageBench,
) -> None:
    rot(bench, GRANULE_BYTES + 4096)
    with pytest.raises(ReplicaError):
        bench.read(1)
    assert trouble_of(bench) == "base-damaged"
    bench.deliver(Write(0, GRANULE_BYTES, b"x" * GRANULE_BYTES))
    bench.apply()
    assert trouble_of(bench) == ""
    assert readable(bench, 2) == [True] * 4
    assert readable(bench, 1) == [True, False, True, True]
    bench.reopen()
    assert readable(bench, 2) == [True] * 4
    assert readable(bench, 1) == [True, False, True, True]


def test_a_granule_may_be_made_whole_by_several_points_together(bench: LineageBench) -> None:
    rot(bench, 0)
    half = GRANULE_BYTES // 2
    bench.deliver(Write(0, 0, b"x" * half))
    bench.deliver(Write(0, half, b"y" * half))
    bench.apply(together=2)
    assert [readable(bench, sequence)[0] for sequence in (1, 2, 3)] == [False, False, True]


def test_points_that_do_not_need_the_damaged_granule_stay(bench: LineageBench) -> None:
    bench.deliver(Write(0, 0, b"x" * GRANULE_BYTES))
    bench.deliver(Write(0, 0, b"y" * GRANULE_BYTES))
    bench.apply(2)
    rot(bench, 7)
    assert [readable(bench, sequence)[0] for sequence in (1, 2, 3)] == [True, True, False]


def test_damage_does_not_spread_over_a_roll_back(bench: LineageBench) -> None:
    rot(bench, 4096)
    bench.deliver(Write(0, 512, b"x" * 512), Write(0, GRANULE_BYTES, b"x" * 512))
    bench.interrupt_apply()
    bench.damage_payload(bench.layout.redo_file(2), b"x" * 512)
    with pytest.raises(ReplicaError):
        bench.apply()
    assert bench.sequences == [1]
    assert readable(bench, 1) == [False, True, True, True]


def test_sums_that_are_lost_do_not_make_zeros_of_before_images(bench: LineageBench) -> None:
    with bench.files.open_write(sidecar_path(bench.layout.images(1) / "00.img")) as file:
        file.zero(HEADER_BYTES, file.size() - HEADER_BYTES)
    bench.deliver(Write(0, 0, 4 * GRANULE_BYTES))
    bench.apply()
    assert readable(bench, 2) == [True] * 4
    assert readable(bench, 1) == [False, False, False, True]


def test_all_granules_of_extents_are_found_in_order() -> None:
    extents = Extents.from_arrays([0, 5 * GRANULE_BYTES], [2 * GRANULE_BYTES, 6 * GRANULE_BYTES])
    (found,) = granules_in(extents)
    assert found.tolist() == [0, 1, 5]
    assert list(granules_in(Extents.empty())) == []
    whole = Extents.whole((1 << 19) * GRANULE_BYTES)
    parts = list(granules_in(whole))
    assert [len(part) for part in parts] == [1 << 18, 1 << 18]
    assert np.array_equal(np.concatenate(parts), np.arange(1 << 19))
