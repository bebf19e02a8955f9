import asyncio
import json
import signal
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from typing_extensions import override

from replikera.cli.client import Query, VaultClient
from replikera.cli.errors import AnswerError, UnreachableError, WaitTimedOutError
from replikera.cli.following import OUTAGE_S, POLL_S, Follower, raise_unless_done
from replikera.cli.invocation import OutputFormat
from replikera.cli.output import Output
from replikera.cli.profile import load_profile
from replikera.cli.progress import LineDisplay
from replikera.system.files import SystemFiles
from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli, FakeClock

ENABLE = ("protection", "enable", "web", "--target-host", "hv2", "--policy", "gold", "--wait")


def job(state: str, *tasks: str, **more: object) -> dict[str, Any]:
    names = ("accept replica at target", "start replication at source")
    return {
        "id": "j1",
        "kind": "enable-protection",
        "subject": "web",
        "state": state,
        "tasks": [{"name": n, "state": s} for n, s in zip(names, tasks, strict=False)],
        "created_at": "2026-11-22T20:14:55Z",
        **more,
    }


DONE = job("succeeded", "succeeded", "succeeded")


async def test_waiting_reads_the_job_until_it_succeeded(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/protections", job("running", "waiting", "waiting"), status=202)
    vault.says(
        "GET", "/jobs/j1", job("running", "running"), job("running", "succeeded", "running"), DONE
    )
    result = await cli(*ENABLE)
    assert result.exit_code == 0
    assert result.stderr.splitlines() == [
        "accept replica at target: running",
        "accept replica at target: succeeded",
        "start replication at source: running",
        "start replication at source: succeeded",
        "next: replikera point list web",
    ]
    assert [request[:2] for request in vault.requests[1:]] == [("GET", "/api/v1/jobs/j1")] * 3
    assert cli.clock.sleeps == [POLL_S] * 3


async def test_programs_get_the_finished_job_and_nothing_else(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/protections", job("running", "waiting"), status=202)
    vault.says("GET", "/jobs/j1", job("running", "running"), DONE)
    assert await cli.json(*ENABLE) == DONE


async def test_a_failed_job_ends_with_5_cause_and_remedy(cli: Cli, vault: FakeVault) -> None:
    failed = job("failed", "failed", cause="hv2's disk is full", remedy="Free space on hv2")
    vault.says("POST", "/protections", job("running", "waiting"), status=202)
    vault.says("GET", "/jobs/j1", failed)
    people = await cli(*ENABLE)
    assert people.exit_code == 5
    assert "Job j1 (enable-protection web) failed: hv2's disk is full." in people.stderr
    assert "remedy: Free space on hv2." in people.stderr
    programs = await cli("-o", "json", *ENABLE)
    assert programs.exit_code == 5
    assert json.loads(programs.stdout) == failed
    problem = json.loads(programs.stderr)
    assert (problem["code"], problem["remedy"]) == ("job-failed", "Free space on hv2")


def test_a_failed_job_without_a_remedy_points_at_its_tasks() -> None:
    raise_unless_done(DONE)
    with pytest.raises(
        Exception, match="failed: unknown. See its tasks with `replikera job show j1`"
    ):
        raise_unless_done(job("failed"))


async def test_the_time_to_wait_is_kept_and_the_job_goes_on(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/protections", job("running", "waiting"), status=202)
    vault.says("GET", "/jobs/j1", job("running", "running"))
    result = await cli(*ENABLE, "--timeout", "90s")
    assert result.exit_code == 3
    assert result.stdout == ""
    assert "Job j1 still runs after 1m 30s." in result.stderr
    assert "replikera job watch j1" in result.stderr
    assert cli.clock.elapsed == 90


async def test_a_restart_of_the_vault_is_waited_for(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/protections", job("running", "running"), status=202)
    vault.hangs_up_before("GET", "/jobs/j1", DONE, times=6)
    result = await cli(*ENABLE)
    assert result.exit_code == 0
    assert result.stderr.count("Trying again.") == 1


class AbsentVault(VaultClient):
    """Answers with what the list holds; an exception is raised."""

    script: list[dict[str, object] | Exception]

    @override
    async def get(self, *path: str, query: Query | None = None) -> dict[str, object]:
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, Exception):
            raise step
        return step


def follower(cli: Cli, clock: FakeClock, *script: dict[str, object] | Exception) -> Follower:
    client = AbsentVault(load_profile(SystemFiles(), cli.profile, datetime.now(UTC)), cli.ports)
    client.script = list(script)
    return Follower(client, clock, LineDisplay(lambda _line: None), Output(OutputFormat.TABLE))


AWAY = UnreachableError("vault-unreachable", "No vault answers", "Start it")


async def test_a_vault_that_stays_away_ends_the_wait(cli: Cli) -> None:
    clock = FakeClock()
    with pytest.raises(UnreachableError):
        await follower(cli, clock, AWAY).follow(job("running"), None)
    assert clock.elapsed == OUTAGE_S + POLL_S


async def test_each_outage_is_counted_anew(cli: Cli) -> None:
    clock = FakeClock()
    steps = int(OUTAGE_S / POLL_S)
    absent: list[dict[str, object] | Exception] = [AWAY] * steps
    script = [*absent, job("running"), *absent]
    assert await follower(cli, clock, *script, DONE).follow(job("running"), None) == DONE
    assert clock.elapsed > 2 * OUTAGE_S


async def test_the_time_to_wait_counts_through_an_outage(cli: Cli) -> None:
    with pytest.raises(WaitTimedOutError):
        await follower(cli, FakeClock(), AWAY).follow(job("running"), 10.0)


async def test_a_job_that_has_ended_is_not_read_again(cli: Cli) -> None:
    clock = FakeClock()
    assert await follower(cli, clock, AWAY).follow(DONE, None) == DONE
    assert clock.sleeps == []


@pytest.mark.parametrize("broken", [{"id": "j1"}, {"state": "running"}, {}])
async def test_an_answer_that_is_no_job_is_an_error(cli: Cli, broken: dict[str, object]) -> None:
    with pytest.raises(AnswerError):
        await follower(cli, FakeClock(), AWAY).follow(broken, None)


class InterruptedClock(FakeClock):
    @override
    async def sleep(self, seconds: float) -> None:
        raise asyncio.CancelledError


async def test_ctrl_c_ends_the_program_with_130_and_leaves_the_job(
    cli: Cli, vault: FakeVault
) -> None:
    vault.says("GET", "/jobs/j1", job("running", "running"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from replikera.cli.main import main; main()"),
        *("--profile", str(cli.profile), "job", "watch", "j1"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    assert await process.stderr.readline() == b"accept replica at target: running\n"
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert process.returncode == 130
    assert (out, err) == (b"", b"Job j1 goes on.\nnext: replikera job watch j1\n")


async def test_an_interrupted_wait_says_that_the_job_goes_on(
    cli: Cli, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(asyncio.CancelledError):
        await follower(cli, InterruptedClock(), AWAY).follow(job("running"), None)
    assert capsys.readouterr().err == "Job j1 goes on.\nnext: replikera job watch j1\n"
