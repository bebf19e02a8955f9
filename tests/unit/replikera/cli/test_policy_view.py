import io

import pytest
from rich.console import Console

from replikera.cli.policy_view import policy_row, render_policy


def rendered(policy: dict[str, object]) -> list[str]:
    sink = io.StringIO()
    Console(file=sink, width=120).print(render_policy(policy))
    return [" ".join(line.split()) for line in sink.getvalue().splitlines()]


def test_what_is_not_known_says_so() -> None:
    assert policy_row({"name": "odd"}) == ("odd", "unknown", "unknown", "unknown", None)


def test_a_target_that_was_set_is_told_from_one_that_follows() -> None:
    told = {"promised_rpo_seconds": 90}
    assert "rpo target 1m 30s" in rendered({**told, "rpo_target_seconds": 90})
    assert "rpo target 1m 30s (3 x copy frequency)" in rendered(
        {**told, "rpo_target_seconds": None}
    )


@pytest.mark.parametrize("hours", [None, 0])
def test_without_an_interval_application_consistent_points_are_off(hours: int | None) -> None:
    assert "application-consistent off" in rendered({"application_consistent_hours": hours})


def test_no_window_and_no_machine_are_said_in_words() -> None:
    lines = rendered({"throttle": [], "protections": []})
    assert "throttle none" in lines
    assert "protections none" in lines
    assert not [line for line in rendered({}) if line.startswith("protections")]
