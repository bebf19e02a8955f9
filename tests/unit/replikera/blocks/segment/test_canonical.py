"""One spelling per value."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from replikera.blocks.segment.canonical import (
    Json,
    SegmentFormatError,
    decode_canonical,
    encode_canonical,
    format_instant,
    number_of,
    object_of,
    parse_instant,
    text_of,
)


def test_equal_values_have_equal_bytes() -> None:
    assert encode_canonical({"b": [1, None], "a": "é"}) == '{"a":"é","b":[1,null]}'.encode()
    assert decode_canonical(b'{"a":1,"b":2}', "x") == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    "data",
    [b'{"b":1,"a":2}', b'{"a": 1}', b'{"a":1,"a":1}', b'"\\u00e9"', b"1.0e1", b" 1"],
)
def test_another_spelling_is_refused(data: bytes) -> None:
    with pytest.raises(SegmentFormatError, match="canonical"):
        decode_canonical(data, "x")


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b'"\\ud800"', b"[" * 100_000, b"nul", b"NaN"])
def test_what_is_not_json_is_refused(data: bytes) -> None:
    with pytest.raises(SegmentFormatError, match="x is not JSON"):
        decode_canonical(data, "x")


def test_fields_are_checked() -> None:
    keys = frozenset({"a"})
    assert object_of({"a": 1}, keys, "x") == {"a": 1}
    others: list[Json] = [[], {"a": 1, "b": 2}, {}]
    for value in others:
        with pytest.raises(SegmentFormatError, match="x is not an object of a"):
            object_of(value, keys, "x")
    assert text_of({"a": "yes"}, "a", 3) == "yes"
    for text in (1, "long"):
        with pytest.raises(SegmentFormatError, match="a is not a text"):
            text_of({"a": text}, "a", 3)
    assert number_of({"a": 3}, "a", 3) == 3
    for number in (-1, 4, True, 1.0, "1"):
        with pytest.raises(SegmentFormatError, match="a is not an integer"):
            number_of({"a": number}, "a", 3)


def test_instants_are_utc_with_six_digits() -> None:
    instant = datetime(2026, 1, 31, 23, 59, 59, 1, UTC)
    assert format_instant(instant) == "2026-01-31T23:59:59.000001Z"
    assert parse_instant({"t": "2026-01-31T23:59:59.000001Z"}, "t") == instant
    elsewhere = instant.astimezone(timezone(timedelta(hours=5)))
    assert format_instant(elsewhere) == format_instant(instant)


@pytest.mark.parametrize(
    "text", ["", "2026-01-31T23:59:59Z", "2026-01-31T23:59:59.1Z", "2026-02-30T00:00:00.000000Z"]
)
def test_another_instant_is_refused(text: str) -> None:
    with pytest.raises(SegmentFormatError, match="t is not"):
        parse_instant({"t": text}, "t")


def test_an_instant_without_zone_is_refused() -> None:
    with pytest.raises(SegmentFormatError, match="no time zone"):
        format_instant(datetime(2026, 1, 1))  # noqa: DTZ001 - the naive instant is the point
