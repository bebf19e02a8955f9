import pytest
import typer

from replikera.cli.point_arguments import parse_selector, parse_time


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-03-01T12:00:00Z", "2026-03-01T12:00:00+00:00"),
        ("2026-03-01T12:00:00.5+02:00", "2026-03-01T12:00:00.500000+02:00"),
        ("2026-03-01 12:00Z", "2026-03-01T12:00:00+00:00"),
    ],
)
def test_a_time_has_its_zone(text: str, time: str) -> None:
    assert parse_time(text) == time


@pytest.mark.parametrize("text", ["", "now", "2026-03-01", "2026-03-01T12:00:00"])
def test_a_time_without_a_zone_is_none(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="with its zone"):
        parse_time(text)


def test_what_stands_for_a_point_is_the_vaults_to_understand() -> None:
    assert parse_selector("whatever") == "whatever"
    for text in ("", " latest", "latest\n"):
        with pytest.raises(typer.BadParameter, match="latest"):
            parse_selector(text)
