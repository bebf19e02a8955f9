import pytest

from replikera.cli.records import Record
from replikera.cli.risk import at_risk, by_text, failover_now, some

WELL = {"name": "web", "health": "healthy", "failover_now": {"answer": "yes"}}
ILL = {"name": "db", "health": "critical", "failover_now": {"answer": "no"}}
HOST = {"name": "hv1", "state": "connected"}
AWAY = {"name": "hv2", "state": "disconnected"}


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"health": "healthy", "protections": [WELL]}, "no"),
        ({"health": "not-applicable"}, "no promise to keep yet"),
        ({"health": "critical", "protections": [WELL, ILL]}, "yes: db"),
        ({"health": "warning", "hosts": [HOST, AWAY]}, "yes: host hv2"),
        ({"health": "warning", "mode": "reconciling"}, "yes: the vault reconciles"),
        ({"health": "warning"}, "yes"),
        ({"health": "unknown", "protections": [{"name": "x"}]}, "unknown: x"),
        ({"health": "splendid"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_only_a_healthy_vault_is_not_at_risk(answer: dict[str, object], text: str) -> None:
    assert at_risk(answer) == text


def test_machines_are_counted_by_what_is_known_of_them() -> None:
    assert failover_now({"protections": [WELL, ILL]}) == "1 of 2"
    assert failover_now({"protections": [WELL, {}]}) == "1 of 2, 1 unknown"


def test_many_names_are_cut_short() -> None:
    assert some(["a", "b", "c"]) == "a, b, c"
    assert some(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


def test_those_of_whom_the_same_is_told_are_told_together() -> None:
    told: list[tuple[str | None, Record]] = [
        ("Away.", {"name": "a"}),
        (None, {"name": "b"}),
        ("Away.", {}),
        ("Full.", WELL),
    ]
    assert by_text(told) == {"Away.": ["a", "unknown"], "Full.": ["web"]}
