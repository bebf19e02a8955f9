"""Replication policies: how machines are copied, how long points are kept, how old the newest may be."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

from coordinator.domain.aggregates import Aggregate
from coordinator.domain.compression import Compression
from coordinator.domain.decisions import NOTHING, Decision
from coordinator.domain.errors import InvalidValueError, RefusedError
from coordinator.domain.events import Event, EventKind
from coordinator.domain.hosts import Host
from coordinator.domain.identifiers import PolicyId, check_name
from coordinator.domain.policy_settings import OFF, PolicySettings, ReplicaOnDisable
from coordinator.domain.throttle import ThrottleWindow

_CYCLES_PROMISED = 3
_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Policy(Aggregate):
    """A named policy; what it says has the names and the meaning of `PolicySettings`."""

    id: PolicyId
    name: str
    copy_frequency: timedelta
    retention: timedelta
    created_at: datetime
    application_consistent_interval: timedelta = OFF
    compression: Compression = Compression.ADAPTIVE
    throttle: tuple[ThrottleWindow, ...] = ()
    rpo_target: timedelta | None = None
    replica_on_disable: ReplicaOnDisable = ReplicaOnDisable.KEEP

    @property
    def settings(self) -> PolicySettings:
        """Return what the policy says."""
        return PolicySettings(**{name: getattr(self, name) for name in _SETTINGS})

    @property
    def promised_rpo(self) -> timedelta:
        """Return how old the newest point may be."""
        return self.rpo_target or _CYCLES_PROMISED * self.copy_frequency

    def check_source(self, source: Host) -> None:
        """Refuse a copy frequency that the source's hypervisor driver cannot hold."""
        if self.copy_frequency < source.minimum_copy_interval:
            shortest = source.minimum_copy_interval.total_seconds()
            raise InvalidValueError(
                "copy-frequency-too-short",
                f"Policy {self.name} copies every {self.copy_frequency.total_seconds():g} s; "
                f"the {source.hypervisor} driver of host {source.name} needs {shortest:g} s.",
                "Choose a policy with a longer copy frequency.",
                field="policy",
            )

    def updated(
        self, settings: PolicySettings, sources: Iterable[Host], now: datetime
    ) -> tuple["Policy", Decision]:
        """Decide that the policy says this from now on; `sources` are the hosts whose machines follow it.

        The same again decides nothing. Raises `InvalidValueError`.
        """
        settings.check()
        changed = [name for name in _SETTINGS if getattr(self, name) != getattr(settings, name)]
        if not changed:
            return self, NOTHING
        updated = replace(self, **_values(settings))
        for source in sources:
            updated.check_source(source)
        detail = f"{self.name}: {', '.join(name.replace('_', ' ') for name in changed)}"
        event = Event(now, EventKind.POLICY_CHANGED, self.id, detail)
        return updated, Decision((updated,), (), (event,))

    def deleted(self, machine_names: Sequence[str], now: datetime) -> Decision:
        """Decide that the policy is gone. Raises `RefusedError` where machines follow it."""
        if machine_names:
            shown = ", ".join(machine_names[:_NAMES_SHOWN])
            more = len(machine_names) - _NAMES_SHOWN
            raise RefusedError(
                "policy-in-use",
                f"Policy {self.name} is followed by {shown}{f' and {more} more' if more > 0 else ''}.",
                "Give these another policy (replikera protection update VM --policy POLICY) or disable them.",
            )
        event = Event(now, EventKind.POLICY_DELETED, self.id, self.name)
        return Decision((), (), (event,), removed=(self,))


_SETTINGS = tuple(field.name for field in fields(PolicySettings))


def create(
    policy_id: PolicyId, name: str, settings: PolicySettings, now: datetime
) -> tuple[Policy, Decision]:
    """Decide that there is a new policy. Raises `InvalidValueError`."""
    check_name("policy", name, "name")
    settings.check()
    policy = Policy(id=policy_id, name=name, created_at=now, **_values(settings))
    event = Event(now, EventKind.POLICY_CREATED, policy_id, name)
    return policy, Decision(aggregates=(policy,), events=(event,))


def _values(settings: PolicySettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in _SETTINGS}
