import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from agent.source.errors import StateFileError
from agent.source.record import ProtectionRecord
from agent.source.state import SourceState
from agent.source.state_folder import StateFolder
from replikera.system.files import SystemFiles
from tests.support.source_rig import ASSIGNMENT, PROTECTION

P = ParamSpec("P")
T = TypeVar("T")
FRESH = SourceState(ASSIGNMENT)


class MovingWorker:
    """Runs the call, then may fail or be cancelled although its effect is there."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.is_before = False
        self.running = 0
        self.most = 0

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(0)
            if self.is_before:
                self._fail()
            result = function(*args, **kwargs)
            await asyncio.sleep(0)
            self._fail()
            return result
        finally:
            self.running -= 1

    def _fail(self) -> None:
        error, self.error = self.error, None
        if error is not None:
            raise error


@pytest.fixture
def worker() -> MovingWorker:
    return MovingWorker()


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    folder = StateFolder(SystemFiles(), tmp_path / "protections")
    folder.prepare()
    folder.save(FRESH)
    return folder


@pytest.fixture
def record(folder: StateFolder, worker: MovingWorker) -> ProtectionRecord:
    return ProtectionRecord(folder, worker, FRESH)


def counted(state: SourceState) -> SourceState:
    return replace(state, attempt=state.attempt + 1)


async def test_a_change_is_durable_when_it_is_told(
    record: ProtectionRecord, folder: StateFolder
) -> None:
    assert (await record.update(counted)).attempt == 1
    assert folder.load(PROTECTION) == record.state


async def test_no_change_writes_nothing(record: ProtectionRecord, worker: MovingWorker) -> None:
    await record.update(lambda state: state)
    assert worker.most == 0


async def test_changes_come_one_after_the_other(
    record: ProtectionRecord, worker: MovingWorker
) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(record.update(counted))
    assert record.state.attempt == 10
    assert worker.most == 1


@pytest.mark.parametrize("is_before", [True, False])
@pytest.mark.parametrize("error", [OSError(28, "full"), asyncio.CancelledError()])
async def test_after_a_write_whose_end_nobody_saw_the_file_decides(
    record: ProtectionRecord,
    worker: MovingWorker,
    folder: StateFolder,
    error: BaseException,
    *,
    is_before: bool,
) -> None:
    worker.error, worker.is_before = error, is_before
    with pytest.raises(type(error)):
        await record.update(counted)
    assert record.state.attempt == 0
    await record.refresh()
    written = folder.load(PROTECTION)
    assert record.state == written
    assert record.state.attempt == (0 if is_before else 1)
    await record.update(counted)
    assert written is not None
    assert folder.load(PROTECTION) == record.state == counted(written)


async def test_a_file_that_was_damaged_meanwhile_is_told(
    record: ProtectionRecord, worker: MovingWorker, tmp_path: Path
) -> None:
    worker.error = OSError(5, "Input/output error")
    with pytest.raises(OSError, match="Input"):
        await record.update(counted)
    (tmp_path / "protections" / f"{PROTECTION}.json").write_bytes(b"{")
    with pytest.raises(StateFileError):
        await record.refresh()
    with pytest.raises(StateFileError):
        await record.update(counted)


async def test_who_waits_for_a_change_is_told_of_it(record: ProtectionRecord) -> None:
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(record.changed_from(FRESH))
        await asyncio.sleep(0)
        assert not waiting.done()
        await record.update(counted)
    assert waiting.done()
    async with asyncio.timeout(1):
        await record.changed_from(FRESH)
