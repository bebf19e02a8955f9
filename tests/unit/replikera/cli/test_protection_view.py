import pytest

from replikera.cli.protection_view import advice, lag, last_test_failover, newest_point


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
