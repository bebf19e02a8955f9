from typing import Any

import pytest

from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli, squeezed

HOST = {"name": "hv1", "site": "a", "state": "connected", "last_seen_at": "2026-11-22T20:14:55Z"}
PROTECTION: dict[str, Any] = {
    "id": "p1",
    "name": "web",
    "source_host": "hv1",
    "target_host": "hv2",
    "state": "protected",
    "health": "healthy",
    "generation": "g1",
    "newest_point": {"sequence": 7, "capture_started_at": "2026-11-22T20:14:55.5Z"},
    "lag_seconds": 21.2,
    "test_failover": {"id": "t1", "state": "cleaned-up"},
    "failover_now": {
        "answer": "yes",
        "reason": "Its newest point 7 is 22 s old.",
        "newest_point_age_seconds": 21.2,
    },
    "last_proved": {
        "test_failover": "t1",
        "point": {"generation": "g1", "sequence": 5},
        "ended_at": "2026-11-20T20:14:55Z",
    },
}
HEADINGS = "VM SOURCE TARGET STATE HEALTH LAG FAILOVER NOW LAST PROVED TEST FAILOVER"


def status(**changes: object) -> dict[str, Any]:
    return {
        "vault": "lab",
        "mode": "serving",
        "now": "2026-11-22T20:15:55Z",
        "health": "healthy",
        "hosts": [HOST, {**HOST, "name": "hv2"}],
        "protections": [PROTECTION],
        "jobs_running": 0,
        **changes,
    }


async def test_everything_is_answered_at_a_glance(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/status", status())
    result = await cli("status")
    assert result.exit_code == 0
    assert squeezed(result.stdout) == [
        "vault lab",
        "at risk no",
        "health healthy",
        "hosts 2 of 2 connected",
        "could fail over 1 of 1",
        "jobs running 0",
        HEADINGS,
        "web hv1 hv2 protected healthy 22s yes, point 7, 22s old "
        "2026-11-20 20:14:55Z, point 5 cleaned-up",
    ]
    assert result.stderr == ""
    assert vault.requests == [("GET", "/api/v1/status", None)]


async def test_programs_get_the_vaults_answer(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/status", status(hosts=[]))
    assert await cli.json("status") == status(hosts=[])


async def test_what_is_wrong_comes_with_what_to_do(cli: Cli, vault: FakeVault) -> None:
    ill = {
        **PROTECTION,
        "health": "critical",
        "lag_seconds": None,
        "cause": "hv2 is away.",
        "remedy": "Start its agent",
        "failover_now": {"answer": "unknown", "reason": "Host hv2 is not connected."},
        "last_proved": None,
    }
    away = {**HOST, "name": "hv2", "state": "disconnected"}
    vault.says("GET", "/status", status(hosts=[HOST, away], protections=[ill], health="critical"))
    result = await cli("status")
    lines = squeezed(result.stdout)
    assert "at risk yes: web, host hv2" in lines
    assert "hosts 1 of 2 connected" in lines
    assert "could fail over 0 of 1, 1 unknown" in lines
    assert lines[7:] == [
        "web hv1 hv2 protected critical unknown unknown never cleaned-up",
        "failover now: web: unknown. Host hv2 is not connected.",
        "action: host hv2 is not connected, last seen 1m ago. Start its agent there: "
        "systemctl start replikera-agent. Or look at its log. See: replikera host show hv2",
        "action: web: hv2 is away. Start its agent. See: replikera protection show web",
    ]
    assert result.stderr == "next: replikera protection show web\n"


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"hosts": [], "protections": []}, "replikera host invite --site SITE"),
        ({"protections": []}, "replikera vm list"),
        (
            {"protections": [{**PROTECTION, "test_failover": None, "last_proved": None}]},
            "replikera test-failover start web --wait",
        ),
        ({"protections": [{**PROTECTION, "health": "unknown"}]}, "replikera protection show web"),
    ],
)
async def test_the_next_step_is_named(
    cli: Cli, vault: FakeVault, changes: dict[str, object], hint: str
) -> None:
    vault.says("GET", "/status", status(**changes))
    assert (await cli("status")).stderr == f"next: {hint}\n"


async def test_a_new_vault_and_missing_values_are_not_made_up(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/status", {"protections": [{"name": "web", "newest_point": None}]})
    assert await cli.lines("status") == [
        "vault unknown",
        "at risk unknown: web",
        "health unknown",
        "hosts unknown",
        "could fail over 0 of 1, 1 unknown",
        "jobs running unknown",
        HEADINGS,
        "web unknown unknown unknown unknown unknown unknown unknown never",
        "failover now: web: unknown",
    ]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, 0),
        ({"health": "not-applicable"}, 0),
        ({"jobs_running": 2}, 8),
        ({"health": "warning"}, 1),
        ({"health": "critical", "jobs_running": 2}, 1),
        ({"health": "unknown"}, 1),
        ({"health": None}, 1),
        ({"jobs_running": None}, 8),
    ],
)
async def test_the_exit_code_tells_monitoring_what_is_wrong(
    cli: Cli, vault: FakeVault, changes: dict[str, object], code: int
) -> None:
    vault.says("GET", "/status", status(**changes))
    result = await cli("status", "--exit-code")
    assert result.exit_code == code
    assert result.stdout.startswith("vault")
    assert (await cli("status")).exit_code == 0


async def test_an_exit_code_needs_an_end(cli: Cli, vault: FakeVault) -> None:
    result = await cli("status", "--exit-code", "--watch")
    assert (result.exit_code, vault.requests) == (2, [])


async def test_a_restored_vault_says_that_it_waits(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/status", status(mode="reconciling", health="warning"))
    result = await cli("status")
    lines = squeezed(result.stdout)
    assert lines[1] == "mode reconciling"
    assert lines[-1].startswith("action: the vault was restored and waits for its hosts")
    assert result.stderr == "next: replikera vault show\n"


async def test_a_host_that_is_not_let_in_comes_with_its_remedy(cli: Cli, vault: FakeVault) -> None:
    copy = {**HOST, "state": "quarantined", "cause": "It is a copy.", "remedy": "Readmit one"}
    vault.says("GET", "/status", status(hosts=[copy], health="critical"))
    assert squeezed((await cli("status")).stdout)[-1] == (
        "action: host hv1: It is a copy. Readmit one. See: replikera host show hv1"
    )


async def test_a_machine_that_was_never_proved_is_no_risk_but_asks_for_a_test(
    cli: Cli, vault: FakeVault
) -> None:
    unproved = {**PROTECTION, "test_failover": None, "last_proved": None}
    vault.says("GET", "/status", status(protections=[unproved]))
    result = await cli("status", "--exit-code")
    assert result.exit_code == 0
    assert squeezed(result.stdout)[-1] == (
        "action: web: no test failover has ever proved it. "
        "Prove it: replikera test-failover start web --wait"
    )


async def test_machines_that_wait_for_the_same_share_a_line(cli: Cli, vault: FakeVault) -> None:
    begun = {
        **PROTECTION,
        "health": "not-applicable",
        "failover_now": {"answer": "no", "reason": "It is not protected yet."},
    }
    vault.says("GET", "/status", status(protections=[begun, {**begun, "name": "db"}]))
    lines = squeezed((await cli("status")).stdout)
    assert lines[-1] == "failover now: web, db: no. It is not protected yet."
