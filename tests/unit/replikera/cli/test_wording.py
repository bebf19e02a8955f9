import pytest

from replikera.cli import wording


@pytest.mark.parametrize("value", [None, "12", True, float("nan"), float("inf"), -1, {}])
def test_what_is_not_a_number_is_unknown_and_never_zero(value: object) -> None:
    assert wording.size(value) == "unknown"
    assert wording.rate(value) == "unknown"
    assert wording.duration(value) == "unknown"
    assert wording.measured(value) == "unknown"


@pytest.mark.parametrize("value", [None, 5, "", "yesterday", "2026-11-22T20:14:55"])
def test_what_is_not_an_instant_with_a_zone_is_unknown(value: object) -> None:
    assert wording.instant(value) == "unknown"
    assert wording.precise_instant(value) == "unknown"
    assert wording.age(value, "2026-11-22T20:14:55Z") == "unknown"
    assert wording.age("2026-11-22T20:14:55Z", value) == "unknown"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (3 * 1024**3 + 512 * 1024**2, "3.5 GiB"),
        (1024**6, "1024.0 PiB"),
    ],
)
def test_sizes_have_binary_units(value: int, text: str) -> None:
    assert wording.size(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0s"),
        (0.2, "1s"),
        (59.1, "1m"),
        (62, "1m 2s"),
        (3600, "1h"),
        (3661, "1h 2m"),
        (86_399, "1d"),
        (86_401, "1d 1h"),
        (432_000, "5d"),
    ],
)
def test_durations_are_rounded_up_to_two_units(value: float, text: str) -> None:
    assert wording.duration(value) == text


def test_measured_seconds_keep_their_hundredths() -> None:
    assert wording.measured(0.123) == "0.12 s"


def test_instants_are_shown_in_utc() -> None:
    assert wording.instant("2026-11-22T21:14:55.123456+01:00") == "2026-11-22 20:14:55Z"
    assert wording.precise_instant("2026-11-22T20:14:55.123956Z") == "2026-11-22 20:14:55.123Z"


def test_ages_are_measured_by_the_vaults_clock() -> None:
    assert wording.age("2026-11-22T20:14:55Z", "2026-11-22T20:15:55Z") == "1m ago"
    assert wording.age("2026-11-22T20:16:55Z", "2026-11-22T20:15:55Z") == "0s ago"


def test_names_from_elsewhere_cannot_steer_the_terminal() -> None:
    assert wording.printable("a\x1b[31mb\nc\u202e") == "a\\x1b[31mb\\nc\\u202e"
    assert wording.printable("Büro-VM 1") == "Büro-VM 1"


def test_plain_values() -> None:
    assert [wording.plain(value) for value in (None, "", True, False, 7, "x")] == [
        "unknown",
        "unknown",
        "yes",
        "no",
        "7",
        "x",
    ]
