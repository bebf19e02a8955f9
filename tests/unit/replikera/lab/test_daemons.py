"""Daemons are started, killed, restarted and ended, by whoever finds their record."""

import asyncio
import sys
from pathlib import Path

import pytest

from replikera.lab.daemons import TERMINATION_S, Daemons
from replikera.lab.errors import LabError
from replikera.lab.folder import LabFolder, claim_folder
from replikera.system.clock import SystemClock
from replikera.system.files import SystemFiles
from replikera.system.processes import SystemProcesses
from tests.support.lab import InstantClock, ScriptedProcesses

FILES = SystemFiles()


def daemons(folder: LabFolder, programs: ScriptedProcesses) -> Daemons:
    return Daemons(programs, FILES, InstantClock(), folder)


async def test_a_killed_daemon_is_restarted_with_its_own_command_line(tmp_path: Path) -> None:
    programs = ScriptedProcesses()
    some = daemons(claim_folder(FILES, tmp_path), programs)
    some.start("agent", ("/bin/agent", "run"))
    await some.kill("agent")
    assert not some.is_alive("agent")
    some.restart("agent")
    assert some.is_alive("agent")
    assert programs.ran == ["agent run", "agent run"]


async def test_a_daemon_is_ready_once_it_says_so_itself(tmp_path: Path) -> None:
    programs = ScriptedProcesses()
    some = daemons(claim_folder(FILES, tmp_path), programs)
    some.start("agent", ("/bin/agent", "run"))
    assert some.is_ready("agent")
    await some.kill("agent")
    programs.said = b""
    some.restart("agent")
    assert not some.is_ready("agent")
    programs.alive.clear()
    with pytest.raises(LabError, match=r"agent ended by itself.*agent\.log"):
        some.is_ready("agent")


async def test_a_name_that_is_alive_is_not_started_twice(tmp_path: Path) -> None:
    programs = ScriptedProcesses()
    some = daemons(claim_folder(FILES, tmp_path), programs)
    some.start("agent", ("/bin/agent", "run"))
    with pytest.raises(LabError, match="agent runs already"):
        some.start("agent", ("/bin/agent", "run"))
    assert len(programs.alive) == 1


async def test_another_process_ends_what_this_one_started(tmp_path: Path) -> None:
    programs, folder = ScriptedProcesses(), claim_folder(FILES, tmp_path)
    first = daemons(folder, programs)
    first.start("coordinator", ("/bin/coordinator", "run"))
    first.start("agent", ("/bin/agent", "run"))
    second = daemons(folder, programs)
    assert second.names() == ("coordinator", "agent")
    await second.stop_all()
    assert programs.alive == set()
    assert daemons(folder, programs).names() == ()


async def test_a_daemon_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    programs, clock = ScriptedProcesses(), InstantClock()
    some = Daemons(programs, FILES, clock, claim_folder(FILES, tmp_path))
    some.start("agent", ("/bin/agent", "run"))
    programs.deaf = set(programs.alive)
    await some.stop("agent")
    assert programs.killed == list(programs.deaf)
    assert TERMINATION_S <= clock.passed < TERMINATION_S + 1


@pytest.mark.skipif(sys.platform != "linux", reason="only /proc tells what an id belongs to")
async def test_an_id_that_now_belongs_to_another_program_is_let_be(tmp_path: Path) -> None:
    processes, folder = SystemProcesses(), claim_folder(FILES, tmp_path)
    some = Daemons(processes, FILES, SystemClock(), folder)
    command = (sys.executable, "-c", "import time; time.sleep(60)")
    some.start("agent", command)
    process_id = some._known["agent"].process_id
    folder.processes.write_text(folder.processes.read_text().replace("sleep(60)", "sleep(61)"))
    stranger = Daemons(processes, FILES, SystemClock(), folder)
    assert not stranger.is_alive("agent")
    await stranger.stop("agent")
    assert processes.is_alive(process_id)
    await some.kill("agent")


async def test_a_real_process_is_ended_by_its_id(tmp_path: Path) -> None:
    folder = claim_folder(FILES, tmp_path)
    some = Daemons(SystemProcesses(), FILES, SystemClock(), folder)
    some.start("agent", (sys.executable, "-c", "print('up', flush=True); input()"))
    some.start("other", (sys.executable, "-c", "import time; time.sleep(60)"))
    async with asyncio.timeout(20):
        while not some.is_alive("other"):
            await asyncio.sleep(0.01)
    await some.stop_all()
    assert not some.is_alive("other")
    assert some.log("other") == folder.logs / "other.log"
