r"""Hosts: one hypervisor machine with one agent, known by its certificate.

    active -> quarantined, revoked -> retired
       ^____________|________|

A host that is not active is refused everywhere, whatever certificate it has. It becomes active again only by joining
with a key that was made for its readmission, and keeps its id and protections then.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from coordinator.domain.aggregates import Aggregate
from coordinator.domain.decisions import Decision
from coordinator.domain.errors import (
    ForbiddenError,
    IllegalTransitionError,
    InvalidValueError,
    RefusedError,
)
from coordinator.domain.events import Event, EventKind
from coordinator.domain.identifiers import HostId, check_name

MAX_FACT_LENGTH = 255
"""A DNS name with a port fits; every other fact is shorter."""

UNKNOWN_SITE = "unknown"
"""Of a host that joined after the backup from which the vault was restored."""

MAX_FOLDERS = 64
MAX_FOLDER_LENGTH = 1024
"""Four times the longest path that Windows takes without being asked to."""

_NAMED = 5
"""How many machines a refusal names."""


@dataclass(frozen=True, slots=True)
class AgentRun:
    """One start of an agent: how many there were with its identity, and what this one calls itself.

    An agent counts durably and makes `run_id` anew, so the count rises with every run, and whoever says otherwise
    speaks for a copy. An agent that does not count says 0 and "".
    """

    start_count: int
    run_id: str

    def may_follow(self, earlier: "AgentRun") -> bool:
        """Tell whether this is the same run again, or a later one."""
        return self == earlier or self.start_count > earlier.start_count


@dataclass(frozen=True, slots=True)
class Contact:
    """When a host was heard last, and which deny-list it has made durable."""

    host_id: HostId
    seen_at: datetime
    deny_list_version: int


@dataclass(frozen=True, slots=True)
class HostFacts:
    """A host's build, as it reports itself; the first of `replica_folders` is where it keeps replicas unless told.

    `storage_path` is where it puts the disks of recovered machines; an agent of a version before does not tell.
    """

    cloud: str
    hypervisor: str
    agent_version: str
    replication_address: str
    minimum_copy_interval: timedelta
    replica_folders: tuple[str, ...] = ()
    storage_path: str = ""

    def __post_init__(self) -> None:
        _check_folders(self.replica_folders)
        _check_storage_path(self.storage_path)
        for field in ("cloud", "hypervisor", "agent_version", "replication_address"):
            text = getattr(self, field)
            if len(text) > MAX_FACT_LENGTH or not text.isprintable():
                raise InvalidValueError(
                    "invalid-host-fact",
                    f"The host's {field} is not a line of at most {MAX_FACT_LENGTH} characters.",
                    "Correct the settings of its agent.",
                    field=field,
                )


class HostState(StrEnum):
    """Whether a host is trusted."""

    ACTIVE = "active"
    QUARANTINED = "quarantined"
    """There may be two of it: neither is believed until an operator readmits one."""

    REVOKED = "revoked"
    """An operator withdrew the trust; it may be readmitted."""

    RETIRED = "retired"
    """Gone for good."""


@dataclass(frozen=True, slots=True)
class Host(Aggregate):
    """A registered host. Facts are empty until its agent first connects.

    `start_count` and `run_id` are those of the agent's newest run; `deny_list_version` is what it has made durable;
    `cause` and `remedy` say why it is not active; `replica_folders` are where it may keep replicas, the default first;
    `storage_path` is where disks of recovered machines go, empty where it is not known.
    """

    id: HostId
    name: str
    site: str
    registered_at: datetime
    cloud: str = ""
    hypervisor: str = ""
    agent_version: str = ""
    replication_address: str = ""
    minimum_copy_interval: timedelta = timedelta(0)
    last_seen_at: datetime | None = None
    state: HostState = HostState.ACTIVE
    start_count: int = 0
    run_id: str = ""
    deny_list_version: int = 0
    cause: str | None = None
    remedy: str | None = None
    replica_folders: tuple[str, ...] = ()
    storage_path: str = ""

    @property
    def run(self) -> AgentRun:
        """Return the newest run of its agent."""
        return AgentRun(self.start_count, self.run_id)

    def introduced(
        self, facts: HostFacts, run: AgentRun, deny_list_version: int, now: datetime
    ) -> "Host":
        """Return the host with what its agent says of itself at the start of a session."""
        return replace(
            self,
            cloud=facts.cloud,
            hypervisor=facts.hypervisor,
            agent_version=facts.agent_version,
            replication_address=facts.replication_address,
            minimum_copy_interval=facts.minimum_copy_interval,
            replica_folders=facts.replica_folders,
            storage_path=facts.storage_path,
            last_seen_at=now,
            start_count=run.start_count,
            run_id=run.run_id,
            deny_list_version=deny_list_version,
        )

    def check_trusted(self) -> None:
        """Refuse a host that is not active. Raises `ForbiddenError`."""
        if self.state is not HostState.ACTIVE:
            raise ForbiddenError(
                f"host-{self.state}",
                f"Host {self.name} is {self.state}: {self.cause or 'no cause was given.'}",
                self.remedy or _readmit(self.name),
            )

    def quarantined(self, cause: str, now: datetime) -> Decision:
        """Decide that nobody of this name is believed, because there may be two."""
        host = replace(
            self, state=HostState.QUARANTINED, cause=cause, remedy=_readmit_original(self.name)
        )
        event = Event(now, EventKind.HOST_QUARANTINED, self.id, f"{self.name}: {cause}")
        return Decision((host,), (), (event,))

    def revoked(self, reason: str, now: datetime) -> tuple["Host", Decision]:
        """Decide that an operator trusts the host no more."""
        if self.state in (HostState.REVOKED, HostState.RETIRED):
            raise IllegalTransitionError(
                f"host-{self.state}-already",
                f"Host {self.name} is {self.state} already.",
                "Nothing is left to do.",
            )
        cause = "An operator withdrew the trust" + (f": {reason}." if reason else ".")
        host = replace(
            self, state=HostState.REVOKED, cause=cause, remedy=_readmit_original(self.name)
        )
        event = Event(now, EventKind.HOST_REVOKED, self.id, _told(self.name, reason))
        return host, Decision((host,), (), (event,))

    def retired(
        self, machines: Sequence[str], reason: str, now: datetime
    ) -> tuple["Host", Decision]:
        """Decide that the host is gone for good; `machines` are those that it still protects or is the target of."""
        if self.state is HostState.RETIRED:
            raise IllegalTransitionError(
                "host-retired-already", f"Host {self.name} is retired.", "Nothing is left to do."
            )
        if machines:
            raise RefusedError(
                "host-in-use",
                f"Host {self.name} is source or target of protections: {_some(machines)}.",
                f"A host in a protection stays. To withdraw the trust in it: replikera host revoke {self.name}.",
            )
        host = replace(
            self,
            # The id stays in the history; the name is free for another host.
            name=f"{self.name}~{self.id[:8]}",
            state=HostState.RETIRED,
            cause="An operator retired it" + (f": {reason}." if reason else "."),
            remedy="Invite it anew if it is to come back: replikera host invite.",
        )
        event = Event(now, EventKind.HOST_RETIRED, self.id, _told(self.name, reason))
        return host, Decision((host,), (), (event,))

    def check_readmissible(self) -> None:
        """Refuse to readmit a host that is gone for good."""
        if self.state is HostState.RETIRED:
            raise IllegalTransitionError(
                "host-retired",
                f"Host {self.name} is retired.",
                "Invite it as a new host: replikera host invite.",
            )

    def rejoined(self, now: datetime, detail: str) -> tuple["Host", Decision]:
        """Decide that the host is believed again, with a new certificate; its agent may count from the beginning."""
        host = replace(
            self, state=HostState.ACTIVE, start_count=0, run_id="", cause=None, remedy=None
        )
        event = Event(now, EventKind.HOST_REJOINED, self.id, detail)
        return host, Decision((host,), (), (event,))


def appeared(host_id: HostId, name: str, now: datetime) -> tuple[Host, Decision]:
    """Decide what becomes of a host that has a certificate of this vault, which knows nothing of it."""
    cause = "It joined the vault after the backup from which the vault was restored."
    host = Host(
        host_id,
        name,
        UNKNOWN_SITE,
        now,
        state=HostState.QUARANTINED,
        cause=cause,
        remedy=f"If you know the host, readmit it: {_READMIT} {name}.",
    )
    event = Event(now, EventKind.HOST_QUARANTINED, host_id, f"{name}: {cause}")
    return host, Decision((host,), (), (event,))


def check_site(site: str) -> str:
    """Return the name of a site if it is one."""
    return check_name("site", site, "site")


def _check_folders(folders: Sequence[str]) -> None:
    is_sound = len(folders) <= MAX_FOLDERS and len(set(folders)) == len(folders)
    for folder in folders:
        is_sound &= 0 < len(folder) <= MAX_FOLDER_LENGTH and folder.isprintable()
    if not is_sound:
        raise InvalidValueError(
            "invalid-host-fact",
            f"The host's replica folders are not at most {MAX_FOLDERS} different paths, each a line of at most "
            f"{MAX_FOLDER_LENGTH} characters.",
            "Correct the settings of its agent.",
            field="replica_folders",
        )


def _check_storage_path(path: str) -> None:
    if len(path) > MAX_FOLDER_LENGTH or not path.isprintable():
        raise InvalidValueError(
            "invalid-host-fact",
            f"The host's storage path is not a line of at most {MAX_FOLDER_LENGTH} characters.",
            "Correct the settings of its agent.",
            field="storage_path",
        )


_READMIT = "replikera host readmit"


def _readmit(name: str) -> str:
    return f"Readmit it: {_READMIT} {name}."


def _readmit_original(name: str) -> str:
    return f"Find out why. Then readmit the host that is to stay: {_READMIT} {name}."


def _told(name: str, reason: str) -> str:
    return f"{name}: {reason}" if reason else name


def _some(machines: Sequence[str]) -> str:
    rest = f" and {len(machines) - _NAMED} more" if len(machines) > _NAMED else ""
    return ", ".join(machines[:_NAMED]) + rest
