from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain import point_selection
from coordinator.domain.errors import InvalidValueError
from coordinator.domain.identifiers import Generation
from coordinator.domain.point_selection import parse, select
from coordinator.domain.points import PointKind, RecoveryPoint
from tests.unit.coordinator.examples import NOW, recovery_point

GENERATION = Generation("8c6a9a4e-0d0c-4d0e-9b7a-2f6f8a1b2c3d")


def point(sequence: int, kind: PointKind = PointKind.CRASH_CONSISTENT) -> RecoveryPoint:
    """Return a point whose capture ended as many seconds after `NOW` as its sequence says."""
    end = NOW + timedelta(seconds=sequence)
    return recovery_point(
        sequence,
        kind=kind,
        generation=GENERATION,
        capture_started_at=end - timedelta(milliseconds=900),
        capture_ended_at=end,
    )


POINTS = (
    replace(point(2), name="latest"),
    replace(point(3, PointKind.APPLICATION_CONSISTENT), name="patch day"),
    replace(point(4), name="patch day"),
    point(6),
)


@pytest.mark.parametrize(
    ("text", "sequence"),
    [
        ("latest", 6),
        ("latest-processed", 4),
        ("latest-application-consistent", 3),
        ("4", 4),
        (f"{GENERATION}:2", 2),
        ("name:patch day", 4),
        ("name:latest", 2),
        ((NOW + timedelta(seconds=5)).isoformat(), 4),
        ((NOW + timedelta(seconds=4)).isoformat(), 4),
        ((NOW + timedelta(seconds=3, microseconds=999_999)).isoformat(), 3),
        ((NOW + timedelta(days=9)).astimezone(timezone(timedelta(hours=5))).isoformat(), 6),
        ("2100-01-01T00:00:00Z", 6),
    ],
)
def test_a_selector_means_the_newest_point_that_it_admits(text: str, sequence: int) -> None:
    found = select(POINTS, parse(text), 5)
    assert found is not None
    assert found.sequence == sequence


@pytest.mark.parametrize(
    "text",
    [
        "5",
        "1",
        f"{GENERATION.replace('8', '9')}:2",
        "name:Patch day",
        (NOW + timedelta(seconds=1)).isoformat(),
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_a_selector_may_mean_nothing_and_says_so(text: str) -> None:
    selector = parse(text)
    assert select(POINTS, selector, 9) is None
    refusal = selector.refusal("web")
    assert refusal.code == "unknown-point"
    assert text in refusal.cause
    assert select((), parse("latest"), 9) is None


def test_nothing_is_processed_before_a_target_has_applied_a_point() -> None:
    assert select(POINTS, parse("latest-processed"), 0) is None
    assert select(POINTS, parse("latest-processed"), 1) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        " latest",
        "newest",
        "LATEST",
        "0",
        "-1",
        "1.5",
        "007",
        f"{2**63}",
        "9" * 200,
        "\u0661",
        "2026-03-01",
        "2026-03-01T12:00:00",
        "2026-03-01T12:30",
        "2026-02-30T12:00:00Z",
        "10000-01-01T00:00:00Z",
        "gen:1",
        "name:",
        f"name:{'x' * 200}",
        f"{GENERATION}:0",
        f"{GENERATION}:",
        f"{GENERATION.upper()}:1",
        "x" * 10_000,
    ],
)
def test_what_means_no_point_is_refused_by_its_field(text: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        parse(text, field="selector")
    assert (caught.value.code, caught.value.field) == ("invalid-point", "selector")
    assert len(caught.value.cause) < 1000


@given(st.text(max_size=200))
def test_a_text_is_understood_or_refused(text: str) -> None:
    try:
        selector = parse(text)
    except InvalidValueError:
        return
    assert selector.text == text
    select(POINTS, selector, 9)


@given(
    st.dictionaries(st.integers(1, 40), st.sampled_from(PointKind), max_size=12),
    st.one_of(
        st.sampled_from(
            [
                point_selection.LATEST,
                point_selection.LATEST_PROCESSED,
                point_selection.LATEST_APPLICATION_CONSISTENT,
            ]
        ),
        st.integers(1, 45).map(str),
        st.datetimes(
            min_value=(NOW - timedelta(seconds=5)).replace(tzinfo=None),
            max_value=(NOW + timedelta(seconds=50)).replace(tzinfo=None),
        ).map(lambda moment: f"{moment.isoformat()}Z"),
    ),
    st.integers(0, 45),
)
def test_the_selected_point_is_admitted_and_no_newer_one_is(
    kinds: dict[int, PointKind], text: str, processed: int
) -> None:
    points = [point(sequence, kind) for sequence, kind in kinds.items()]
    found = select(points, parse(text), processed)
    wanted = {
        item.sequence
        for item in points
        if text == point_selection.LATEST
        or (text == point_selection.LATEST_PROCESSED and item.sequence <= processed)
        or (
            text == point_selection.LATEST_APPLICATION_CONSISTENT
            and item.kind is PointKind.APPLICATION_CONSISTENT
        )
        or (text.isdigit() and item.sequence == int(text))
        or (text.endswith("Z") and item.capture_ended_at <= datetime.fromisoformat(text))
    }
    assert (found.sequence if found is not None else None) == max(wanted, default=None)
