import pytest

from replikera.cli.protection_view import (
    advice,
    failover_now,
    hindrance,
    lag,
    lag_and_target,
    last_proved,
    last_test_failover,
    newest_point,
    placement,
    replication,
    trouble,
    verdict,
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


READY = {
    "newest_point": {"sequence": 7},
    "failover_now": {"answer": "yes", "newest_point_age_seconds": 61},
}


@pytest.mark.parametrize(
    ("protection", "now", "why"),
    [
        (READY, "yes, point 7, 1m 1s old", None),
        ({"failover_now": {"answer": "yes"}}, "yes, point unknown, of unknown age", None),
        ({"failover_now": {"answer": "no", "reason": "Gone."}}, "no", "no. Gone."),
        ({"failover_now": {"answer": "unknown", "reason": "Away."}}, "unknown", "unknown. Away."),
        ({"failover_now": {"answer": "perhaps"}}, "unknown", "unknown"),
        ({}, "unknown", "unknown"),
    ],
)
def test_nothing_but_a_yes_is_a_yes(
    protection: dict[str, object], now: str, why: str | None
) -> None:
    assert failover_now(protection) == now
    assert hindrance(protection) == why
    assert (verdict(protection) == "yes") == (why is None)


PROVED = {"point": {"generation": "g1", "sequence": 5}, "ended_at": "2026-11-20T20:14:55Z"}


@pytest.mark.parametrize(
    ("protection", "text"),
    [
        ({}, "unknown"),
        ({"last_proved": None}, "never"),
        ({"generation": "g1", "last_proved": PROVED}, "2026-11-20 20:14:55Z, point 5"),
        (
            {"generation": "g2", "last_proved": PROVED},
            "2026-11-20 20:14:55Z, point 5 of an earlier generation",
        ),
        ({"last_proved": {"ended_at": None}}, "at an unknown time, point unknown"),
    ],
)
def test_the_last_proof_is_told_with_its_end_and_its_point(
    protection: dict[str, object], text: str
) -> None:
    assert last_proved(protection) == text


def test_trouble_has_no_name() -> None:
    assert trouble({"name": "web"}) is None
    assert trouble({"name": "web", "cause": "Full.", "remedy": "Free space"}) == "Full. Free space."


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
