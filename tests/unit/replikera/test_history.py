import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replikera.history import GENESIS, BrokenChainError, Line, digest_of, verify

NOW = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)
LINE = Line(7, NOW, "operator/ann", "policy-created", "p-1", 'a "name", ü')


def chain(*lines: Line) -> list[tuple[Line, bytes]]:
    digest = GENESIS
    found = []
    for line in lines:
        digest = digest_of(digest, line)
        found.append((line, digest))
    return found


def lines(count: int) -> list[Line]:
    return [replace(LINE, number=3 * at + 1, detail=f"d{at}") for at in range(count)]


def test_the_digest_is_what_the_format_says() -> None:
    text = (
        '[7,"2026-03-01T12:00:00.000005+00:00","operator/ann","policy-created","p-1",'
        '"a \\"name\\", ü"]'
    )
    assert digest_of(GENESIS, LINE) == hashlib.sha256(bytes(32) + text.encode()).digest()


def test_the_zone_that_a_time_is_told_in_does_not_count() -> None:
    there = replace(LINE, occurred_at=NOW.astimezone(timezone(timedelta(hours=5, minutes=30))))
    assert digest_of(GENESIS, there) == digest_of(GENESIS, LINE)


CHANGES: list[dict[str, Any]] = [
    {"number": 8},
    {"occurred_at": NOW + timedelta(microseconds=1)},
    {"actor": "operator/eve"},
    {"kind": "policy-create"},
    {"subject": "p-2"},
    {"detail": ""},
    # What moves from one field to the next is another line.
    {"subject": 'p-1","a', "detail": '"name", ü'},
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_field_counts(change: dict[str, Any]) -> None:
    assert digest_of(GENESIS, replace(LINE, **change)) != digest_of(GENESIS, LINE)


def test_a_line_is_bound_to_all_before_it() -> None:
    assert digest_of(bytes(31) + b"\1", LINE) != digest_of(GENESIS, LINE)


def test_a_chain_ends_where_its_last_line_does_in_one_go_or_in_pieces() -> None:
    whole = chain(*lines(5))
    end = (whole[-1][0].number, whole[-1][1])
    assert verify(whole) == end
    number, digest = verify(whole[:2])
    assert verify(whole[2:], after=number, previous=digest) == end
    assert verify([]) == (0, GENESIS)
    assert verify([], after=4, previous=b"x") == (4, b"x")


@given(st.integers(0, 4), st.sampled_from(["changed", "removed", "moved", "digest"]))
def test_whatever_is_changed_is_found_where_it_is_or_right_after(at: int, how: str) -> None:
    found = chain(*lines(6))
    line, digest = found[at]
    if how == "changed":
        found[at] = (replace(line, detail="other"), digest)
    elif how == "removed":
        del found[at]
    elif how == "moved":
        found[at], found[at + 1] = found[at + 1], found[at]
    else:
        found[at] = (line, bytes(32))
    with pytest.raises(BrokenChainError) as caught:
        verify(found)
    assert caught.value.number in {lines(6)[at].number, lines(6)[at + 1].number}


def test_a_line_is_not_told_twice() -> None:
    found = chain(*lines(2))
    with pytest.raises(BrokenChainError, match="line 4 of the history comes after line 4"):
        verify([*found, found[-1]])
    with pytest.raises(BrokenChainError, match="comes after line 9"):
        verify(found, after=9)
