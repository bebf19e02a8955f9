import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from replikera.cli.throttle_arguments import ThrottleWindow, parse_throttle, throttle_text


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("mon-fri 08:00-18:00 10MiB/s", ThrottleWindow(0b0011111, 480, 1080, 10 << 20)),
        ("Sat,Sun 22:00-06:00 0", ThrottleWindow(0b1100000, 1320, 360, 0)),
        ("daily 00:00-24:00 1G/s", ThrottleWindow(0b1111111, 0, 1440, 1 << 30)),
        ("sat-mon 00:00-00:00 512", ThrottleWindow(0b1100001, 0, 0, 512)),
        ("wed 12:30-12:31 0/s", ThrottleWindow(0b0000100, 750, 751, 0)),
    ],
)
def test_a_window_is_days_times_and_a_rate(text: str, window: ThrottleWindow) -> None:
    assert parse_throttle(text) == window


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mon-fri 08:00-18:00",
        "mon-fri 08:00 10M",
        "someday 08:00-18:00 10M",
        "mon, 08:00-18:00 10M",
        "mon 8:00-18:00 10M",
        "mon 24:00-18:00 10M",
        "mon 08:00-24:01 10M",
        "mon 08:60-18:00 10M",
        "mon 08:00-18:00 fast",
        "mon 08:00-18:00 10M now",
    ],
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="as in|write"):
        parse_throttle(text)


@given(st.integers(1, 127), st.integers(0, 1439), st.integers(0, 1440))
def test_what_is_shown_can_be_typed_again(weekdays: int, start: int, end: int) -> None:
    window = ThrottleWindow(weekdays, start, end, 1 << 20)
    text = throttle_text(window.as_body()).replace("1.0 MiB/s", "1MiB/s")
    assert parse_throttle(text) == window


def test_a_window_that_cannot_be_read_says_so() -> None:
    assert throttle_text({}) == "unknown"
