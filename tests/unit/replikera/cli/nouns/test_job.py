import json
from typing import Any

import pytest

from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli

JOB = {
    "id": "j1",
    "kind": "enable-protection",
    "subject": "web",
    "state": "running",
    "tasks": [
        {"name": "accept replica at target", "state": "succeeded"},
        {"name": "initial replication", "state": "running", "detail": "disk 1 of 2"},
    ],
    "created_at": "2026-11-22T20:14:55Z",
    "finished_at": None,
    "progress": {"done_bytes": 0, "total_bytes": 1024, "rate": None},
}
FAILED = {
    **JOB,
    "state": "failed",
    "finished_at": "2026-11-22T20:15:55Z",
    "cause": "no space",
    "remedy": "free some",
    "progress": None,
}


async def test_jobs_are_listed(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/jobs", {"items": [JOB, FAILED]})
    assert (await cli.json("job", "list"))["items"] == [JOB, FAILED]
    assert await cli.lines("job", "list") == [
        "JOB KIND SUBJECT STATE CREATED CAUSE",
        "j1 enable-protection web running 2026-11-22 20:14:55Z -",
        "j1 enable-protection web failed 2026-11-22 20:14:55Z no space",
    ]


async def test_a_running_job_is_shown_with_tasks_and_progress(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/jobs/j1", JOB)
    assert await cli.json("job", "show", "j1") == JOB
    assert await cli.lines("job", "show", "j1") == [
        "job j1",
        "kind enable-protection",
        "subject web",
        "state running",
        "created 2026-11-22 20:14:55Z",
        "finished not yet",
        "progress 0 bytes of 1.0 KiB unknown unknown left",
        "TASK STATE DETAIL",
        "accept replica at target succeeded -",
        "initial replication running disk 1 of 2",
    ]


async def test_showing_a_failed_job_is_no_failure(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/jobs/j1", FAILED)
    lines = await cli.lines("job", "show", "j1")
    assert lines[5:8] == ["finished 2026-11-22 20:15:55Z", "cause no space", "remedy free some"]


async def test_watching_follows_to_the_end(cli: Cli, vault: FakeVault) -> None:
    done = {**JOB, "state": "succeeded", "finished_at": "2026-11-22T20:15:55Z"}
    vault.says("GET", "/jobs/j1", JOB, JOB, done)
    assert await cli.json("job", "watch", "j1") == done
    assert len(vault.requests) == 3


async def test_watching_a_job_that_fails_ends_with_5(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/jobs/j1", JOB, FAILED)
    result = await cli("-o", "json", "job", "watch", "j1")
    assert result.exit_code == 5
    assert json.loads(result.stdout) == FAILED
    assert json.loads(result.stderr)["remedy"] == "free some"


async def test_watching_can_time_out(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/jobs/j1", JOB)
    result = await cli("job", "watch", "j1", "--timeout", "5s")
    assert (result.exit_code, result.stdout) == (3, "")


async def test_an_unknown_job_ends_with_6(cli: Cli, vault: FakeVault) -> None:
    vault.refuses("GET", "/jobs/zz", 404, code="unknown-job", detail="No job zz", remedy="List")
    result = await cli("job", "watch", "zz")
    assert (result.exit_code, result.stderr) == (6, "error: No job zz.\nremedy: List.\n")


async def test_jobs_are_chosen_by_state_and_machine(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/jobs", {"items": [], "next_cursor": None})
    result = await cli("job", "list", "--state", "failed", "--subject", "web")
    assert result.stderr.startswith("There is no such job.")
    assert (vault.queries[0]["state"], vault.queries[0]["subject"]) == ("failed", "web")


CANCELLED = {**JOB, "state": "cancelled", "finished_at": "2026-11-22T20:15:55Z", "progress": None}
ASKED = {**JOB, "cancel_requested_at": "2026-11-22T20:15:00Z"}


async def test_cancelling_asks_and_leaves_the_job_to_itself(cli: Cli, vault: FakeVault) -> None:
    vault.says("POST", "/jobs/j1/cancel", ASKED, status=202)
    result = await cli("job", "cancel", "j1")
    assert result.exit_code == 0
    assert "cancel asked  2026-11-22 20:15:00Z" in result.stdout
    assert result.stderr == "next: replikera job watch j1\n"


@pytest.mark.parametrize(
    ("ended", "code", "word"),
    [
        (CANCELLED, 0, "nothing of it was done"),
        ({**JOB, "state": "succeeded"}, 7, "had begun, and has succeeded"),
        (FAILED, 5, "no space"),
    ],
)
async def test_a_cancellation_can_be_waited_for(
    cli: Cli, vault: FakeVault, ended: dict[str, Any], code: int, word: str
) -> None:
    vault.says("POST", "/jobs/j1/cancel", ASKED, status=202)
    vault.says("GET", "/jobs/j1", ASKED, ended)
    result = await cli("job", "cancel", "j1", "--wait")
    assert result.exit_code == code
    assert word in result.stderr


async def test_watching_a_job_that_is_cancelled_ends_with_3(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/jobs/j1", JOB, CANCELLED)
    result = await cli("-o", "json", "job", "watch", "j1")
    assert (result.exit_code, json.loads(result.stdout)) == (3, CANCELLED)
    assert json.loads(result.stderr)["code"] == "job-cancelled"
