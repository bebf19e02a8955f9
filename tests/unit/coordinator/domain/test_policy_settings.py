from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from coordinator.domain.errors import InvalidValueError
from coordinator.domain.policy_settings import (
    InitialReplication,
    PolicySettings,
    refuse_what_is_not_offered,
)

HOUR = timedelta(hours=1)
SETTINGS = PolicySettings(timedelta(seconds=5), 24 * HOUR)


@pytest.mark.parametrize("hours", [0, 1, 12])
def test_application_consistent_points_are_off_or_hours_apart(hours: int) -> None:
    replace(SETTINGS, application_consistent_interval=hours * HOUR).check()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"application_consistent_interval": 13 * HOUR}, "application_consistent_hours"),
        ({"application_consistent_interval": HOUR / 2}, "application_consistent_hours"),
        ({"application_consistent_interval": 1.5 * HOUR}, "application_consistent_hours"),
        (
            {"application_consistent_interval": 2 * HOUR, "retention": 2 * HOUR},
            "application_consistent_hours",
        ),
        ({"rpo_target": timedelta(seconds=4)}, "rpo_target_seconds"),
        ({"rpo_target": timedelta(days=31)}, "rpo_target_seconds"),
    ],
)
def test_what_cannot_be_held_is_refused_by_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        replace(SETTINGS, **changes).check()
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("method", "tiers", "lock", "code"),
    [
        (InitialReplication.SCHEDULED, False, False, "scheduled-initial-replication-not-offered"),
        (InitialReplication.OFFLINE, False, False, "offline-initial-replication-not-offered"),
        (InitialReplication.ONLINE, True, False, "retention-tiers-not-offered"),
        (InitialReplication.ONLINE, False, True, "retention-lock-not-offered"),
    ],
)
def test_what_this_version_cannot_do_is_refused_by_its_reason(
    method: InitialReplication, tiers: bool, lock: bool, code: str
) -> None:
    with pytest.raises(InvalidValueError) as caught:
        refuse_what_is_not_offered(method, has_tiers=tiers, has_lock=lock)
    assert caught.value.code == code


def test_what_is_offered_is_not_refused() -> None:
    refuse_what_is_not_offered(InitialReplication.ONLINE, has_tiers=False, has_lock=False)
