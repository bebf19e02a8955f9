"""Policies as tables."""

from rich.console import RenderableType

from replikera.cli.output import properties
from replikera.cli.records import Record, records
from replikera.cli.throttle_arguments import throttle_text
from replikera.cli.wording import duration, number, plain

COLUMNS = ("policy", "copy frequency", "retention", "rpo target", "id")


def policy_row(policy: Record) -> tuple[object, ...]:
    """Return a policy as a line of a table."""
    return (
        policy.get("name"),
        duration(policy.get("copy_frequency_seconds")),
        _hours(policy.get("retention_hours")),
        duration(policy.get("promised_rpo_seconds")),
        policy.get("id"),
    )


def render_policy(policy: Record) -> RenderableType:
    """Return all that a policy says."""
    windows = [throttle_text(window) for window in records(policy, "throttle")]
    names = policy.get("protections")
    pairs: list[tuple[str, object]] = [
        ("policy", policy.get("name")),
        ("copy frequency", duration(policy.get("copy_frequency_seconds"))),
        ("retention", _hours(policy.get("retention_hours"))),
        ("rpo target", _rpo_target(policy)),
        ("application-consistent", _interval(policy.get("application_consistent_hours"))),
        ("compression", policy.get("compression")),
        *(("throttle", window) for window in windows or ["none"]),
        ("replica on disable", policy.get("replica_on_disable")),
        ("initial replication", policy.get("initial_replication") or "online"),
    ]
    if isinstance(names, list):
        pairs.append(("protections", ", ".join(map(plain, names)) or "none"))
    return properties([*pairs, ("id", policy.get("id"))])


def _hours(value: object) -> str:
    hours = number(value)
    return duration(None if hours is None else hours * 3600)


def _interval(value: object) -> str:
    return "off" if not value else f"every {_hours(value)}"


def _rpo_target(policy: Record) -> str:
    text = duration(policy.get("promised_rpo_seconds"))
    is_default = "rpo_target_seconds" in policy and policy["rpo_target_seconds"] is None
    return f"{text} (3 x copy frequency)" if is_default else text
