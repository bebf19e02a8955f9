import asyncio
import json
import os
import pty
import signal
import sys
from typing import Any

import pytest
import yaml
from typing_extensions import override

from replikera.cli.errors import NotFoundError, UnreachableError
from replikera.cli.invocation import OutputFormat
from replikera.cli.output import Output
from replikera.cli.watching import Watcher
from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli, FakeClock

AWAY = UnreachableError("vault-unreachable", "No vault answers", "Start it")


class PatientClock(FakeClock):
    """Its owner presses Ctrl-C in the pause after so many looks."""

    looks = 3

    @override
    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if len(self.sleeps) == self.looks:
            raise KeyboardInterrupt


async def test_programs_get_one_document_a_look_until_ctrl_c(cli: Cli, vault: FakeVault) -> None:
    cli.clock = PatientClock()
    looks: list[dict[str, Any]] = [{"name": "lab", "head": {"number": n}} for n in range(3)]
    vault.says("GET", "/vault", *looks)
    result = await cli("vault", "show", "-o", "json", "--watch", "7")
    assert (result.exit_code, result.stderr) == (130, "")
    assert [json.loads(line) for line in result.stdout.splitlines()] == looks
    assert cli.clock.sleeps == [7, 7, 7]


async def test_yaml_documents_are_told_apart(cli: Cli, vault: FakeVault) -> None:
    cli.clock = PatientClock()
    vault.says("GET", "/vault", {"name": "lab"})
    result = await cli("vault", "show", "--watch", "-o", "yaml")
    assert list(yaml.safe_load_all(result.stdout)) == [{"name": "lab"}] * 3
    assert cli.clock.sleeps == [2, 2, 2]


async def test_tables_in_a_pipe_follow_each_other_without_hints(cli: Cli, vault: FakeVault) -> None:
    cli.clock = PatientClock()
    vault.says("GET", "/sites", {"items": [{"name": "a"}], "next_cursor": None})
    result = await cli("site", "list", "--watch", "1s")
    assert (result.exit_code, result.stderr) == (130, "")
    assert [table.split()[0] for table in result.stdout.split("\n\n")] == ["SITE"] * 3


async def test_a_first_look_that_fails_ends_it(cli: Cli, vault: FakeVault) -> None:
    vault.refuses("GET", "/jobs/9", 404, detail="No job 9")
    result = await cli("job", "show", "9", "--watch")
    assert (result.exit_code, result.stdout) == (6, "")


async def watched(
    capsys: pytest.CaptureFixture[str], *found: int | Exception
) -> tuple[list[int], str]:
    shown: list[int] = []
    script = list(found)

    async def fetch() -> int:
        step = script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    with pytest.raises(NotFoundError):
        await Watcher(FakeClock(), Output(OutputFormat.TABLE), 1).watch(fetch, shown.append)
    return shown, capsys.readouterr().err


GONE = NotFoundError("gone", "It is gone", "")


async def test_a_vault_that_is_away_is_waited_for_and_told_once_an_outage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown, said = await watched(capsys, 1, AWAY, AWAY, 2, AWAY, 3, GONE)
    assert shown == [1, 2, 3]
    assert said == "No vault answers. Trying again.\n" * 2


async def test_a_terminal_is_drawn_anew_and_ctrl_c_ends_with_130(
    cli: Cli, vault: FakeVault
) -> None:
    vault.says("GET", "/vault", {"name": "first"}, {"name": "second"})
    terminal, screen = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from replikera.cli.main import main; main()"),
        *("--profile", str(cli.profile), "vault", "show", "--watch", "1"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=screen,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    )
    os.close(screen)
    drawn = b""
    while b"second" not in drawn:
        drawn += await asyncio.to_thread(os.read, terminal, 65536)
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    os.close(terminal)
    assert (process.returncode, err) == (130, b"")
    assert drawn.count(b"\x1b[2J") == 2
    assert drawn.index(b"first") < drawn.rindex(b"\x1b[2J") < drawn.index(b"second")
