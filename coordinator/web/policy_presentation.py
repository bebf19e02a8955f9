"""Policies: domain to answers."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from coordinator.domain.policies import Policy
from coordinator.web import policy_answers as answers

_HOUR = timedelta(hours=1)
_SECOND = timedelta(seconds=1)


def policy(shown: Policy) -> answers.PolicyAnswer:
    """Return a policy."""
    return answers.PolicyAnswer(**_fields(shown))


def policy_detail(shown: Policy, machine_names: Iterable[str]) -> answers.PolicyDetailAnswer:
    """Return a policy with the machines that follow it."""
    return answers.PolicyDetailAnswer(**_fields(shown), protections=list(machine_names))


def policy_update(shown: Policy, job_ids: Iterable[str]) -> answers.PolicyUpdateAnswer:
    """Return a policy with the jobs that tell it to the hosts."""
    return answers.PolicyUpdateAnswer(**_fields(shown), jobs=list(job_ids))


def _fields(shown: Policy) -> dict[str, Any]:
    target = shown.rpo_target
    return {
        "id": shown.id,
        "name": shown.name,
        "copy_frequency_seconds": shown.copy_frequency // _SECOND,
        "retention_hours": shown.retention // _HOUR,
        "application_consistent_hours": shown.application_consistent_interval // _HOUR,
        "compression": shown.compression,
        "throttle": [
            answers.ThrottleWindowAnswer(
                weekdays=window.weekdays,
                start_minute=window.start_minute,
                end_minute=window.end_minute,
                bytes_per_second=window.bytes_per_second,
            )
            for window in shown.throttle
        ],
        "rpo_target_seconds": None if target is None else target // _SECOND,
        "promised_rpo_seconds": shown.promised_rpo // _SECOND,
        "replica_on_disable": shown.replica_on_disable,
    }
