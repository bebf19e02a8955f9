from pathlib import Path

import pytest

from agent.hypervisor.interface import TrackingLostError
from agent.hypervisor.simulated import tracking
from agent.hypervisor.simulated.state import Position
from agent.hypervisor.simulated.tracking import TrackingLogs
from replikera.blocks.extents import Extents
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness

SIZES = [1 << 20, 1 << 30]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tracking"


def logs_in(folder: Path) -> TrackingLogs:
    """Return the logs as a new process sees them."""
    return TrackingLogs(SystemFiles(), SystemRandomness(), folder)


@pytest.fixture
def logs(folder: Path) -> TrackingLogs:
    return logs_in(folder)


def wrote(logs: TrackingLogs, offset: int, length: int = 4096, disk: int = 0) -> None:
    logs.append({disk: Extents.of([(offset, length)])}, SIZES)


def test_ranges_between_two_positions_are_those_written_between(logs: TrackingLogs) -> None:
    wrote(logs, 0)
    mark = logs.rotate()
    wrote(logs, 8192)
    wrote(logs, 4096, disk=1)
    logs.rotate()
    wrote(logs, 16384)
    view = logs.rotate()
    wrote(logs, 32768)

    first, second = logs.since(mark, view, SIZES)

    assert first == Extents.of([(8192, 4096), (16384, 4096)])
    assert second == Extents.of([(4096, 4096)])


def test_one_byte_is_reported_as_its_granule(logs: TrackingLogs) -> None:
    mark = logs.rotate()
    wrote(logs, 4097, 1)
    assert logs.since(mark, logs.rotate(), SIZES)[0] == Extents.of([(4096, 4096)])


def test_nothing_written_is_nothing_changed(logs: TrackingLogs) -> None:
    mark = logs.rotate()
    assert logs.since(mark, logs.rotate(), SIZES) == [Extents.empty(), Extents.empty()]


def test_another_process_continues_the_log(logs: TrackingLogs, folder: Path) -> None:
    mark = logs.rotate()
    wrote(logs, 0)
    wrote(logs_in(folder), 4096)
    wrote(logs, 8192)
    view = logs_in(folder).rotate()
    assert logs.since(mark, view, SIZES)[0] == Extents.of([(0, 12288)])


@pytest.mark.parametrize("number", [2, 3])
def test_a_missing_log_is_tracking_lost(logs: TrackingLogs, folder: Path, number: int) -> None:
    mark = logs.rotate()
    logs.rotate()
    view = logs.rotate()
    (folder / f"{number}.ranges").unlink()
    with pytest.raises(TrackingLostError, match=f"{number}.ranges is missing") as caught:
        logs.since(mark, view, SIZES)
    assert caught.value.code == "tracking-lost"


def test_a_damaged_log_is_tracking_lost(logs: TrackingLogs, folder: Path) -> None:
    mark = logs.rotate()
    wrote(logs, 0)
    view = logs.rotate()
    path = folder / "2.ranges"
    data = bytearray(path.read_bytes())
    data[-30] ^= 1
    path.write_bytes(data)
    with pytest.raises(TrackingLostError, match=r"2\.ranges"):
        logs.since(mark, view, SIZES)


def test_a_log_cut_at_a_batch_is_tracking_lost(logs: TrackingLogs, folder: Path) -> None:
    mark = logs.rotate()
    wrote(logs, 0)
    view = logs.rotate()
    path = folder / "2.ranges"
    path.write_bytes(path.read_bytes()[:-24])
    with pytest.raises(TrackingLostError, match="does not follow"):
        logs.since(mark, view, SIZES)


def test_logs_begun_anew_do_not_pass_for_the_old_ones(logs: TrackingLogs, folder: Path) -> None:
    mark = logs.rotate()
    logs.rotate()
    for path in folder.iterdir():
        path.unlink()
    logs.rotate()
    wrote(logs, 0)
    view = logs.rotate()
    assert view.number > mark.number
    with pytest.raises(TrackingLostError):
        logs.since(mark, view, SIZES)


def test_a_mark_behind_the_view_is_tracking_lost(logs: TrackingLogs) -> None:
    view = logs.rotate()
    mark = logs.rotate()
    with pytest.raises(TrackingLostError, match="behind"):
        logs.since(mark, view, SIZES)


def test_a_view_of_another_lineage_is_tracking_lost(logs: TrackingLogs) -> None:
    mark = logs.rotate()
    view = logs.rotate()
    with pytest.raises(TrackingLostError):
        logs.since(mark, Position(view.number, mark.log_id), SIZES)


def test_a_writer_killed_while_it_appended_loses_nothing(logs: TrackingLogs, folder: Path) -> None:
    mark = logs.rotate()
    wrote(logs, 0)
    with (folder / "2.ranges").open("ab") as file:
        file.write(b"RNGS\x99\x00\x00\x00" + b"half" * 300)
    wrote(logs_in(folder), 8192)
    view = logs_in(folder).rotate()
    assert logs.since(mark, view, SIZES)[0] == Extents.of([(0, 4096), (8192, 4096)])


def test_writing_goes_on_after_damage_and_the_damage_stays_known(
    logs: TrackingLogs, folder: Path
) -> None:
    mark = logs.rotate()
    wrote(logs, 0)
    path = folder / "2.ranges"
    path.write_bytes(path.read_bytes()[:10])
    wrote(logs_in(folder), 4096)
    view = logs_in(folder).rotate()
    with pytest.raises(TrackingLostError):
        logs.since(mark, view, SIZES)
    wrote(logs, 8192)
    assert logs.since(view, logs.rotate(), SIZES)[0] == Extents.of([(8192, 4096)])


def test_a_crash_between_closing_and_opening_is_continued(logs: TrackingLogs, folder: Path) -> None:
    mark = logs.rotate()
    wrote(logs, 0)
    logs.rotate()
    (folder / "3.ranges").unlink()
    again = logs_in(folder)
    wrote(again, 4096)
    assert again.since(mark, again.rotate(), SIZES)[0] == Extents.of([(0, 8192)])


def test_a_log_stays_small_and_complete(
    logs: TrackingLogs, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "MAX_LOG_BYTES", 4096)
    monkeypatch.setattr(tracking, "_MAX_MERGED_RANGES", 40)
    mark = logs.rotate()
    offsets = [index * 65536 for index in range(120)]
    for offset in offsets:
        wrote(logs, offset, disk=1)
    assert (folder / "2.ranges").stat().st_size <= 4096
    changed = logs.since(mark, logs.rotate(), SIZES)[1]
    assert len(changed) < len(offsets)
    assert Extents.of((offset, 4096) for offset in offsets).subtract(changed) == Extents.empty()


def test_pruning_leaves_what_later_positions_need(logs: TrackingLogs, folder: Path) -> None:
    logs.rotate()
    mark = logs.rotate()
    wrote(logs, 0)
    view = logs.rotate()
    logs.prune(mark.number)
    assert sorted(path.name for path in folder.iterdir()) == ["3.ranges", "4.ranges"]
    assert logs.since(mark, view, SIZES)[0] == Extents.of([(0, 4096)])


def test_pruning_never_takes_the_newest_log(logs: TrackingLogs) -> None:
    logs.rotate()
    logs.prune(99)
    assert logs.newest() == 2


def test_a_lost_log_leads_nowhere_and_the_next_ones_do(logs: TrackingLogs, folder: Path) -> None:
    mark = logs.rotate()
    wrote(logs, 0)
    logs_in(folder).lose()
    view = logs.rotate()
    with pytest.raises(TrackingLostError):
        logs.since(mark, view, SIZES)
    wrote(logs, 8192)
    assert logs.since(view, logs.rotate(), SIZES)[0] == Extents.of([(8192, 4096)])


def test_no_log_is_none_to_lose(logs: TrackingLogs, folder: Path) -> None:
    logs.lose()
    assert not folder.exists()


def test_a_coarse_log_says_whole_granules(logs: TrackingLogs, folder: Path) -> None:
    mark = logs.rotate()
    wrote(logs, 70_000)
    wrote(logs, 5 << 20, disk=1)
    logs.coarsen(65536, SIZES)
    wrote(logs_in(folder), 0)
    first, second = logs.since(mark, logs.rotate(), SIZES)
    assert first == Extents.of([(0, 4096), (65536, 65536)])
    assert second == Extents.of([(5 << 20, 65536)])


def test_what_was_written_after_a_view_is_known_while_the_log_is_open(logs: TrackingLogs) -> None:
    wrote(logs, 0)
    view = logs.rotate()
    assert [len(ranges) for ranges in logs.written_after(view, SIZES)] == [0, 0]
    wrote(logs, 4096)
    logs.rotate()
    wrote(logs, 0, disk=1)
    assert logs.written_after(view, SIZES) == [Extents.of([(4096, 4096)]), Extents.of([(0, 4096)])]
    logs.lose()
    with pytest.raises(TrackingLostError):
        logs.written_after(view, SIZES)
