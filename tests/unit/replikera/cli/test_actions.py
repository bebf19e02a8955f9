from typing import Any

import pytest

from replikera.cli.actions import actions, is_proof_due, proof_action, proof_command

NOW = "2026-11-22T20:15:55Z"
READY: dict[str, Any] = {
    "name": "web",
    "health": "healthy",
    "failover_now": {"answer": "yes"},
    "test_failover": {"state": "cleaned-up"},
    "last_proved": {"ended_at": "2026-11-20T20:14:55Z"},
}
UNPROVED = {**READY, "last_proved": None}


def proved(ended_at: object) -> dict[str, Any]:
    return {**READY, "last_proved": {"ended_at": ended_at}}


def test_nothing_is_to_be_done_while_all_is_well() -> None:
    assert actions({"now": NOW, "hosts": [{"state": "connected"}], "protections": [READY]}) == []
    assert actions({}) == []


def test_what_is_at_risk_comes_before_tests_that_are_due() -> None:
    broken = {
        **UNPROVED,
        "name": "db",
        "cause": "It stands still.",
        "remedy": "Resync it: replikera protection resync db.",
    }
    found = actions(
        {
            "now": NOW,
            "mode": "reconciling",
            "hosts": [{"name": "hv1", "state": "disconnected"}],
            "protections": [UNPROVED, broken],
        }
    )
    assert found == [
        "the vault was restored and waits for its hosts to report. See whom it misses: replikera vault show",
        "host hv1 is not connected, last seen unknown. Start its agent there: "
        "systemctl start replikera-agent. Or look at its log. See: replikera host show hv1",
        "db: It stands still. Resync it: replikera protection resync db.",
        "web: no test failover has ever proved it. Prove it: replikera test-failover start web --wait",
        "db: no test failover has ever proved it. Prove it: replikera test-failover start db --wait",
    ]


def test_one_trouble_of_many_machines_is_one_line() -> None:
    away = {"health": "warning", "cause": "Host hv2 is away.", "remedy": "Start it."}
    protections = [{**away, "name": f"m {number}"} for number in range(5)]
    assert actions({"now": NOW, "protections": protections}) == [
        "m 0, m 1, m 2 and 2 more: Host hv2 is away. Start it. See: replikera protection show 'm 0'"
    ]


@pytest.mark.parametrize(
    ("protection", "is_due"),
    [
        (READY, False),
        (UNPROVED, True),
        (proved("2026-08-24T20:15:55Z"), False),
        (proved("2026-08-24T20:15:54Z"), True),
        (proved(None), True),
        ({**UNPROVED, "failover_now": {"answer": "unknown"}}, False),
        ({**UNPROVED, "failover_now": {"answer": "no"}}, False),
        ({"failover_now": {"answer": "yes"}}, False),
    ],
)
def test_a_proof_lasts_ninety_days(protection: dict[str, Any], is_due: bool) -> None:
    assert is_proof_due(protection, NOW) == is_due


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ("starting", None),
        ("cleaning-up", None),
        (
            "started",
            "web: its test failover proves it once it is cleaned up: "
            "replikera test-failover cleanup web --wait",
        ),
        ("failed", "web: its test failover has failed. See: replikera test-failover show web"),
    ],
)
def test_one_test_at_a_time(state: str, text: str | None) -> None:
    busy = {**UNPROVED, "test_failover": {"state": state}}
    assert proof_action(busy, NOW) == text
    assert proof_command(busy, NOW) is None


def test_a_failed_test_is_told_of_however_well_proved_the_machine_is() -> None:
    assert proof_action({**READY, "test_failover": {"state": "started"}}, NOW) is None
    failed = proof_action({**READY, "test_failover": {"state": "failed"}}, NOW)
    assert failed is not None


@pytest.mark.parametrize(
    ("ended_at", "text"),
    [
        ("2026-06-01T00:00:00Z", "a test failover proved it last 174d 21h ago"),
        (None, "it is not known when a test failover proved it last"),
    ],
)
def test_an_old_proof_is_told_with_its_age(ended_at: str | None, text: str) -> None:
    command = "replikera test-failover start web --wait"
    assert proof_action(proved(ended_at), NOW) == f"web: {text}. Prove it: {command}"
