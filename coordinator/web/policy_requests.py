"""The bodies of requests about policies."""

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field

from coordinator.domain.compression import Compression
from coordinator.domain.policy_settings import (
    InitialReplication,
    PolicySettings,
    ReplicaOnDisable,
    refuse_what_is_not_offered,
)
from coordinator.domain.throttle import ThrottleWindow
from coordinator.web.models import RequestBody, Text

_HOUR = timedelta(hours=1)
_SECOND = timedelta(seconds=1)

# What is beyond these no policy could ever say; what is between is refused by the policy itself, with a reason.
Seconds = Annotated[int, Field(ge=0, le=10**9)]
Hours = Annotated[int, Field(ge=0, le=10**6)]
Rate = Annotated[int, Field(ge=0, le=1 << 62)]
Minute = Annotated[int, Field(ge=0, le=10**4)]
Weekdays = Annotated[int, Field(ge=0, le=10**4)]
# JSON has no enumerations: a member's text is read as the member.
CompressionWord = Annotated[Compression, Field(strict=False)]
ReplicaWord = Annotated[ReplicaOnDisable, Field(strict=False)]
InitialWord = Annotated[InitialReplication, Field(strict=False)]


class ThrottleWindowBody(RequestBody):
    """A limit on some days (bit 0 is Monday) at some minutes since midnight of the source's clock."""

    weekdays: Weekdays
    start_minute: Minute
    end_minute: Minute
    bytes_per_second: Rate

    def window(self) -> ThrottleWindow:
        """Return it as the domain has it."""
        return ThrottleWindow(
            self.weekdays, self.start_minute, self.end_minute, self.bytes_per_second
        )


Throttle = Annotated[list[ThrottleWindowBody], Field(max_length=256)]


class PolicyRequest(RequestBody):
    """A new replication policy. The last three are there to be refused with a reason."""

    name: Text
    copy_frequency_seconds: Seconds
    retention_hours: Hours
    application_consistent_hours: Hours = 0
    compression: CompressionWord = Compression.ADAPTIVE
    throttle: Throttle = Field(default_factory=list)
    rpo_target_seconds: Seconds | None = None
    replica_on_disable: ReplicaWord = ReplicaOnDisable.KEEP
    initial_replication: InitialWord = InitialReplication.ONLINE
    retention_tiers: list[Any] = Field(default_factory=list)
    retention_lock_hours: Hours = 0

    def settings(self) -> PolicySettings:
        """Return what the policy is to say. Raises `InvalidValueError`."""
        _check_offered(self)
        plain = PolicySettings(self.copy_frequency_seconds * _SECOND, self.retention_hours * _HOUR)
        return replace(plain, **_values(self, set(type(self).model_fields)))


class PolicyChange(RequestBody):
    """What of a policy is to be different; what is not named stays. Null for the RPO target: the usual one."""

    copy_frequency_seconds: Seconds = 0
    retention_hours: Hours = 0
    application_consistent_hours: Hours = 0
    compression: CompressionWord = Compression.ADAPTIVE
    throttle: Throttle = Field(default_factory=list)
    rpo_target_seconds: Seconds | None = None
    replica_on_disable: ReplicaWord = ReplicaOnDisable.KEEP
    initial_replication: InitialWord = InitialReplication.ONLINE
    retention_tiers: list[Any] = Field(default_factory=list)
    retention_lock_hours: Hours = 0

    def applied(self, settings: PolicySettings) -> PolicySettings:
        """Return the settings with what was named changed. Raises `InvalidValueError`."""
        _check_offered(self)
        return replace(settings, **_values(self, self.model_fields_set))


def _check_offered(body: PolicyRequest | PolicyChange) -> None:
    refuse_what_is_not_offered(
        body.initial_replication,
        has_tiers=bool(body.retention_tiers),
        has_lock=bool(body.retention_lock_hours),
    )


def _values(body: PolicyRequest | PolicyChange, named: set[str]) -> dict[str, Any]:
    """Return the fields of the settings that these fields of the body stand for."""
    target = body.rpo_target_seconds
    values = {
        "copy_frequency_seconds": ("copy_frequency", body.copy_frequency_seconds * _SECOND),
        "retention_hours": ("retention", body.retention_hours * _HOUR),
        "application_consistent_hours": (
            "application_consistent_interval",
            body.application_consistent_hours * _HOUR,
        ),
        "compression": ("compression", body.compression),
        "throttle": ("throttle", tuple(item.window() for item in body.throttle)),
        "rpo_target_seconds": ("rpo_target", None if target is None else target * _SECOND),
        "replica_on_disable": ("replica_on_disable", body.replica_on_disable),
    }
    return dict(value for name, value in values.items() if name in named)
