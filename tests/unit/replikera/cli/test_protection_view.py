import pytest

from replikera.cli.protection_view import (
    advice,
    lag,
    lag_and_target,
    last_test_failover,
    newest_point,
    placement,
    replication,
)


def test_a_lag_that_is_not_known_is_never_zero() -> None:
    assert lag({"lag_seconds": None}) == lag({}) == "unknown"
    assert lag({"lag_seconds": 0}) == "0s"


@pytest.mark.parametrize(
    ("protection", "text"),
    [
        ({"newest_point": None}, "none"),
        ({}, "unknown"),
        ({"newest_point": {}}, "unknown"),
        ({"newest_point": {"sequence": 3}}, "3 at unknown"),
    ],
)
def test_no_point_differs_from_an_unknown_one(protection: dict[str, object], text: str) -> None:
    assert newest_point(protection) == text


def test_the_last_test_failover_is_named_by_its_state() -> None:
    assert last_test_failover({"test_failover": None}) == "never"
    assert last_test_failover({"test_failover": {"id": "t"}}) == "unknown"
    assert last_test_failover({"test_failover": {"state": "started"}}) == "started"


def test_advice_is_cause_then_remedy() -> None:
    assert advice({"name": "web", "cause": None, "remedy": None}) is None
    assert advice({"name": "web", "cause": "Full.", "remedy": "Free space."}) == (
        "web: Full. Free space."
    )
    assert advice({"name": "web", "cause": "Full"}) == "web: Full."
    assert advice({"name": "w\x1b", "remedy": "Wait"}) == "w\\x1b: Wait."


def test_a_target_is_named_beside_a_lag_that_is_not_known() -> None:
    assert lag_and_target({"lag_seconds": None, "rpo_target_seconds": 90}) == (
        "unknown (RPO target 1m 30s)"
    )
    assert lag_and_target({"lag_seconds": 1}) == "1s"


def test_nothing_is_said_of_what_is_not_told() -> None:
    assert replication({}) == []
    assert placement({"excluded_disks": [], "replica_path": ""}) == []
    assert placement({"storage_folder": "/fast"}) == [("storage folder", "/fast")]


@pytest.mark.parametrize(
    ("differing", "text"),
    [(0, "nothing differs"), (1024, "1.0 KiB differ"), (None, "unknown differ")],
)
def test_a_finished_comparison_tells_what_differs(differing: int | None, text: str) -> None:
    verification = {
        "checked_bytes": 1,
        "total_bytes": 1,
        "differing_bytes": differing,
        "is_finished": True,
        "finished_at": "2026-11-22T20:14:55Z",
    }
    assert replication({"verification": verification}) == [
        ("verification", f"1 bytes of 1 bytes compared, {text}, finished 2026-11-22 20:14:55Z")
    ]
