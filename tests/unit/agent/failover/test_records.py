from pathlib import Path

import pytest

from agent.failover.outcome import RecoveredDisk, RehearsalError
from agent.failover.records import RehearsalRecord, RehearsalRecords, RehearsalState
from tests.unit.agent.fakes import FusedFiles, InlineWorker

ID = "11111111-0000-4000-8000-000000000001"
RECORD = RehearsalRecord(
    ID, "order", "protection", "generation", 3, "web01 - test", RehearsalState.STARTING, "2026"
)


def records(folder: Path) -> RehearsalRecords:
    return RehearsalRecords(FusedFiles(), InlineWorker(), folder / "rehearsals")


async def test_record_is_read_back_by_a_later_run(tmp_path: Path) -> None:
    await records(tmp_path).write(RECORD)
    assert await records(tmp_path).get(ID) == RECORD


async def test_whole_disks_are_read_back_with_the_state_that_they_are_of(tmp_path: Path) -> None:
    disks = (RecoveredDisk("disk-a", tmp_path / "system.vhdx", 1 << 20),)
    await records(tmp_path).write(RECORD.with_disks(disks, RehearsalState.RECOVERED))
    found = await records(tmp_path).get(ID)
    assert found is not None
    assert (found.state, found.recovered_disks) == (RehearsalState.RECOVERED, disks)


async def test_record_of_an_earlier_version_has_no_whole_disks(tmp_path: Path) -> None:
    await records(tmp_path).write(RECORD)
    path = tmp_path / "rehearsals" / f"{ID}.json"
    path.write_text(path.read_text().replace('"disks": [], ', ""))
    assert await records(tmp_path).get(ID) == RECORD


async def test_removed_record_is_gone_and_may_be_removed_again(tmp_path: Path) -> None:
    await records(tmp_path).remove(ID)
    await records(tmp_path).write(RECORD)
    await records(tmp_path).remove(ID)
    await records(tmp_path).remove(ID)
    assert await records(tmp_path).get(ID) is None


@pytest.mark.parametrize("content", ["", "{", '{"version": 1}', "[]"])
async def test_damaged_record_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "rehearsals").mkdir()
    (tmp_path / "rehearsals" / f"{ID}.json").write_text(content)
    with pytest.raises(RehearsalError, match=rf"{ID}.json is not a record.*Move the file away"):
        await records(tmp_path).get(ID)


async def test_record_of_another_rehearsal_is_refused(tmp_path: Path) -> None:
    await records(tmp_path).write(RECORD)
    other = ID.replace("1111", "2222")
    folder = tmp_path / "rehearsals"
    (folder / f"{ID}.json").rename(folder / f"{other}.json")
    with pytest.raises(RehearsalError, match=f"rehearsal {ID}"):
        await records(tmp_path).get(other)


async def test_a_damaged_record_does_not_hide_the_others(tmp_path: Path) -> None:
    await records(tmp_path).write(RECORD)
    damaged = tmp_path / "rehearsals" / f"{ID.replace('1111', '2222')}.json"
    damaged.write_text("{")
    found, (error,) = await records(tmp_path).survey()
    assert found == (RECORD,)
    assert str(damaged) in error.cause
    with pytest.raises(RehearsalError, match="is not a record"):
        await records(tmp_path).all()
