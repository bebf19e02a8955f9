from dataclasses import replace
from datetime import timedelta

from coordinator.domain.throttle import ThrottleWindow
from coordinator.web import policy_presentation as presentation
from tests.unit.coordinator.examples import POLICY


def test_policies_are_shown_in_the_units_of_the_api() -> None:
    window = ThrottleWindow(31, 480, 1080, 1000)
    shown = presentation.policy(
        replace(POLICY, application_consistent_interval=timedelta(hours=4), throttle=(window,))
    )
    assert (shown.copy_frequency_seconds, shown.retention_hours) == (5, 1)
    assert (shown.application_consistent_hours, shown.throttle[0].bytes_per_second) == (4, 1000)
    assert (shown.rpo_target_seconds, shown.promised_rpo_seconds) == (None, 15)
    assert presentation.policy_detail(POLICY, ["web"]).protections == ["web"]
    assert presentation.policy_update(POLICY, ["job"]).jobs == ["job"]
