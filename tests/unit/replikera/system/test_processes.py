"""Child processes are run, started, seen and ended."""

import asyncio
import sys
from pathlib import Path

import pytest

from replikera.system.processes import SystemProcesses

PROCESSES = SystemProcesses()


async def test_a_program_gets_its_input_and_gives_its_output_and_exit_code() -> None:
    code = "import sys; print(sys.stdin.read().upper()); sys.stderr.write('no'); sys.exit(3)"
    done = await PROCESSES.run([sys.executable, "-c", code], standard_input=b"hi", timeout=30)
    assert (done.exit_code, done.output, done.errors) == (3, b"HI\n", b"no")


async def test_a_program_that_takes_too_long_is_killed() -> None:
    with pytest.raises(TimeoutError):
        await PROCESSES.run([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.2)


async def test_a_missing_program_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        await PROCESSES.run(["/no/such/program"], timeout=1)


async def test_an_attached_program_writes_where_this_one_does(
    capfd: pytest.CaptureFixture[str],
) -> None:
    code = "import sys; print('out', flush=True); sys.stderr.write('err'); sys.exit(3)"
    assert await PROCESSES.run_attached([sys.executable, "-c", code]) == 3
    assert capfd.readouterr() == ("out\n", "err")


async def test_an_attached_program_ends_with_the_one_who_waits(tmp_path: Path) -> None:
    mark = tmp_path / "ended"
    code = (
        "import pathlib, signal, sys, time\n"
        f"def end(*_): pathlib.Path({str(mark)!r}).write_text('ended'); sys.exit(1)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"pathlib.Path({str(tmp_path / 'up')!r}).write_text('up')\n"
        "time.sleep(60)\n"
    )
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(PROCESSES.run_attached([sys.executable, "-c", code]))
        async with asyncio.timeout(20):
            while not (tmp_path / "up").exists():
                await asyncio.sleep(0.01)
        waiting.cancel()
    assert mark.read_text() == "ended"


async def test_a_missing_attached_program_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        await PROCESSES.run_attached(["/no/such/program"])


@pytest.mark.parametrize("end", [PROCESSES.terminate, PROCESSES.kill])
async def test_a_detached_program_lives_until_it_is_ended(tmp_path: Path, end: object) -> None:
    code = "import os, time; print(os.environ['MARK'], flush=True); time.sleep(60)"
    process_id = PROCESSES.start_detached(
        [sys.executable, "-c", code], output=tmp_path / "out", environment={"MARK": "here"}
    )
    async with asyncio.timeout(20):
        while not (tmp_path / "out").read_text():
            await asyncio.sleep(0.01)
    assert (tmp_path / "out").read_text() == "here\n"
    assert PROCESSES.is_alive(process_id)
    assert SystemProcesses().is_alive(process_id)
    assert callable(end)
    end(process_id)
    async with asyncio.timeout(20):
        while PROCESSES.is_alive(process_id):
            await asyncio.sleep(0.01)
    assert not SystemProcesses().is_alive(process_id)
    end(process_id)


def test_a_process_that_never_was_is_not_alive() -> None:
    assert not PROCESSES.is_alive(2**22 + 12345)
    PROCESSES.terminate(2**22 + 12345)
