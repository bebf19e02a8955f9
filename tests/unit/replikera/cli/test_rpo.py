from typing import Any

import pytest

from replikera.cli.plugin import Datum, PluginState
from replikera.cli.rpo import Thresholds, examine, is_promised, not_found, result

PROTECTION: dict[str, Any] = {
    "name": "web",
    "state": "protected",
    "health": "healthy",
    "lag_seconds": 21.2,
    "rpo_target_seconds": 30,
    "rpo_critical_seconds": 45,
}
PROMISED = Thresholds()


def lagging(seconds: float | None, **more: object) -> dict[str, Any]:
    return {**PROTECTION, "lag_seconds": seconds, **more}


@pytest.mark.parametrize(
    ("seconds", "state", "text"),
    [
        (0, "OK", "web lag 0s"),
        (30, "OK", "web lag 30s"),
        (30.1, "WARNING", "web lag 31s, more than 30s"),
        (45, "WARNING", "web lag 45s, more than 30s"),
        (45.1, "CRITICAL", "web lag 46s, more than 45s"),
    ],
)
def test_the_promise_is_the_threshold(seconds: float, state: str, text: str) -> None:
    found = examine(lagging(seconds), PROMISED)
    assert (found.state.name, found.text) == (state, text)
    assert found.datum == Datum("web", seconds, 30, 45)


@pytest.mark.parametrize(
    ("given", "held"),
    [
        (Thresholds(), (30, 45)),
        (Thresholds(20), (20, 45)),
        (Thresholds(60), (60, 60)),
        (Thresholds(None, 300), (30, 300)),
        (Thresholds(None, 20), (20, 20)),
        (Thresholds(10, 20), (10, 20)),
    ],
)
def test_what_was_given_bends_what_was_not(given: Thresholds, held: tuple[float, float]) -> None:
    found = given.of(PROTECTION)
    assert (found.warning, found.critical) == held


@pytest.mark.parametrize(
    ("protection", "state", "text"),
    [
        (
            lagging(None, state="initial-replication", health="not-applicable"),
            "UNKNOWN",
            "web lag unknown: no recovery point yet (initial-replication)",
        ),
        (
            lagging(None, health="unknown", cause="The clock is ahead.", remedy="Set it."),
            "UNKNOWN",
            "web lag unknown: The clock is ahead. Set it",
        ),
        (
            lagging(None, health="critical", cause="No point."),
            "CRITICAL",
            "web lag unknown: No point",
        ),
        (lagging(None), "UNKNOWN", "web lag unknown: the vault does not tell why"),
        (lagging(1, state="disabling"), "UNKNOWN", "web is being disabled"),
        (
            {"name": "web", "lag_seconds": 3},
            "UNKNOWN",
            "web lag 3s, its promise is not told",
        ),
        ({}, "UNKNOWN", "unknown lag unknown: the vault does not tell why"),
    ],
)
def test_what_is_not_known_is_never_ok(
    protection: dict[str, object], state: str, text: str
) -> None:
    found = examine(protection, PROMISED)
    assert (found.state.name, found.text) == (state, text)


def test_only_what_is_being_disabled_promises_nothing() -> None:
    assert is_promised(PROTECTION)
    assert not is_promised(lagging(1, state="disabling"))


def test_a_name_that_nobody_knows_is_unknown() -> None:
    found = not_found("db", "There is no protection db.")
    assert (found.state, found.text) == (PluginState.UNKNOWN, "There is no protection db")


def test_all_in_a_line() -> None:
    assert result([]).text == "no virtual machine is protected"
    assert result([]).state is PluginState.UNKNOWN
    one = examine(PROTECTION, PROMISED)
    assert result([one]).text == "web lag 22s"
    other = examine(lagging(29, name="db"), PROMISED)
    both = result([one, other])
    assert (both.state, both.text) == (
        PluginState.OK,
        "2 virtual machines, the largest lag: db lag 29s",
    )
    assert [datum.label for datum in both.data] == ["web", "db"]


def test_the_worst_are_named_first_and_not_all() -> None:
    seconds = (1, None, 31, 46, 50, 60, 70)
    findings = [
        examine(lagging(lag, name=f"m{number}"), PROMISED) for number, lag in enumerate(seconds)
    ]
    found = result(findings)
    assert found.state is PluginState.CRITICAL
    assert found.text == (
        "m3 lag 46s, more than 45s; m4 lag 50s, more than 45s; m5 lag 1m, more than 45s; "
        "m6 lag 1m 10s, more than 45s; m2 lag 31s, more than 30s; and 1 more"
    )
    assert len(found.data) == len(seconds)


def test_machines_of_one_name_have_labels_of_their_own() -> None:
    twins = [examine(lagging(1), PROMISED), examine(lagging(2), PROMISED)]
    assert [datum.label for datum in result(twins).data] == ["web 1", "web 2"]
