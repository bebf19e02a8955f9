from datetime import UTC, datetime

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from replikera.trust.fields import FieldError, read_id, read_number, read_time, time_stamp


@pytest.mark.parametrize("text", ["a", "A.b-c_9", "0" * 64])
def test_an_id_is_letters_digits_and_little_else(text: str) -> None:
    assert read_id("x", text) == text


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a\\b", "a\n", "é", "0" * 65, "-a"])
def test_what_could_not_stand_in_a_path_is_no_id(text: str) -> None:
    with pytest.raises(FieldError, match="the_name"):
        read_id("the_name", text)


def test_numbers_count_from_one() -> None:
    assert read_number("x", 1) == 1
    with pytest.raises(FieldError, match="x is 0"):
        read_number("x", 0)


@given(
    st.datetimes(datetime(1971, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds have no zone
)
def test_a_time_comes_back_as_it_was(instant: datetime) -> None:
    assert read_time("x", time_stamp(instant)) == instant


@pytest.mark.parametrize(
    "stamp",
    [
        Timestamp(),
        Timestamp(seconds=-1),
        Timestamp(seconds=2**62),
        Timestamp(seconds=1, nanos=-1),
        Timestamp(seconds=1, nanos=2_000_000_000),
    ],
)
def test_what_is_on_no_calendar_is_no_time(stamp: Timestamp) -> None:
    with pytest.raises(FieldError, match="x is"):
        read_time("x", stamp)
