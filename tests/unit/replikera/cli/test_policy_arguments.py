import pytest
import typer

from replikera.cli.policy_arguments import (
    Interval,
    RpoTarget,
    check_throttle_choice,
    parse_interval_of_points,
    parse_rpo_target,
)


def test_an_interval_is_whole_hours_or_off() -> None:
    assert parse_interval_of_points("off") == Interval(0)
    assert parse_interval_of_points("12h") == Interval(12)
    with pytest.raises(typer.BadParameter):
        parse_interval_of_points("90m")


def test_a_target_is_a_time_or_follows_from_the_copy_frequency() -> None:
    assert parse_rpo_target("default") == RpoTarget(None)
    assert parse_rpo_target("2m") == RpoTarget(120)
    with pytest.raises(typer.BadParameter):
        parse_rpo_target("0s")


def test_windows_are_given_or_removed() -> None:
    check_throttle_choice(is_given=True, is_removed=False)
    check_throttle_choice(is_given=False, is_removed=True)
    with pytest.raises(typer.BadParameter, match="exclude"):
        check_throttle_choice(is_given=True, is_removed=True)
