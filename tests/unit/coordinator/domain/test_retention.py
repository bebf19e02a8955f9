from datetime import UTC, datetime, timedelta

from coordinator.domain.retention import kept
from tests.unit.coordinator.examples import recovery_point

HOUR = timedelta(hours=1)


def test_a_point_is_kept_for_its_retention_from_its_sealing_on() -> None:
    point = recovery_point(3)
    assert kept(point, 4, HOUR).retained_until == point.sealed_at + HOUR
    assert kept(point, 4, timedelta(0)).retained_until == point.sealed_at


def test_the_newest_point_is_kept_as_long_as_it_is_that() -> None:
    assert kept(recovery_point(4), 4, timedelta(0)).retained_until is None


def test_a_target_whose_clock_is_at_the_end_of_time_is_no_trouble() -> None:
    end = datetime.max.replace(tzinfo=UTC)
    point = recovery_point(1, sealed_at=end - timedelta(days=29))
    assert kept(point, 2, timedelta(days=30)).retained_until == end
