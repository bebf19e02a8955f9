import pytest
import typer

from replikera.cli.arguments import (
    Duration,
    HostNetwork,
    fill_in_interval,
    parse_duration,
    parse_host_network,
    parse_interval,
    parse_positive_duration,
    parse_retention,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("30s", 30), ("5m", 300), ("24h", 86_400), ("5d", 432_000), (" 1s ", 1)],
)
def test_durations_are_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_duration(text) == Duration(seconds)


@pytest.mark.parametrize(
    "text", ["", "30", "s", "1.5h", "-5m", "5 m", "1h30m", "5w", "5M", "٣s", "9999999999s"]
)
def test_anything_else_is_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="as in 30s, 5m, 24h or 5d"):
        parse_duration(text)


def test_no_time_is_refused_where_it_makes_no_sense() -> None:
    assert parse_positive_duration("1s") == Duration(1)
    with pytest.raises(typer.BadParameter, match="1s is the least"):
        parse_positive_duration("0m")


def test_retention_counts_in_whole_hours() -> None:
    assert parse_retention("120m") == Duration(7200)
    assert parse_retention("0d") == Duration(0)
    with pytest.raises(typer.BadParameter, match="whole hours"):
        parse_retention("90m")


def test_a_network_is_named_with_its_host() -> None:
    assert parse_host_network("hv1/production") == HostNetwork("hv1", "production")
    assert parse_host_network("hv1/vlan/7") == HostNetwork("hv1", "vlan/7")


@pytest.mark.parametrize("text", ["production", "/production", "hv1/", ""])
def test_half_a_network_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="HOST/NETWORK"):
        parse_host_network(text)


@pytest.mark.parametrize(
    ("words", "filled"),
    [
        ("--watch", "--watch=2"),
        ("--watch 5", "--watch 5"),
        ("--watch 5s web", "--watch 5s web"),
        ("--watch web", "--watch=2 web"),
        ("--watch -o json", "--watch=2 -o json"),
        ("web --watch", "web --watch=2"),
        ("--watch=9", "--watch=9"),
        ("-- --watch", "-- --watch"),
        ("", ""),
    ],
)
def test_the_interval_of_watch_may_be_left_out(words: str, filled: str) -> None:
    assert fill_in_interval(words.split()) == filled.split()


def test_an_interval_is_whole_seconds() -> None:
    assert (parse_interval("5"), parse_interval("90s")) == (5, 90)


@pytest.mark.parametrize("text", ["0", "0s", "-1", "1.5", "1m", "soon", "", "1" * 9])
def test_what_is_no_interval_is_wrong_usage(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_interval(text)
