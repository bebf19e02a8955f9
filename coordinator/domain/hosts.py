"""Hosts: one hypervisor machine with one agent, known by its certificate."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from coordinator.domain.aggregates import Aggregate
from coordinator.domain.errors import InvalidValueError
from coordinator.domain.identifiers import HostId, check_name

MAX_FACT_LENGTH = 255
"""A DNS name with a port fits; every other fact is shorter."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    """A host's build, as it reports itself."""

    cloud: str
    hypervisor: str
    agent_version: str
    replication_address: str
    minimum_copy_interval: timedelta

    def __post_init__(self) -> None:
        for field in ("cloud", "hypervisor", "agent_version", "replication_address"):
            text = getattr(self, field)
            if len(text) > MAX_FACT_LENGTH or not text.isprintable():
                raise InvalidValueError(
                    "invalid-host-fact",
                    f"The host's {field} is not a line of at most {MAX_FACT_LENGTH} characters.",
                    "Correct the settings of its agent.",
                    field=field,
                )


@dataclass(frozen=True, slots=True)
class Host(Aggregate):
    """A registered host. Facts are empty until its agent first connects."""

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

    def introduced(self, facts: HostFacts, now: datetime) -> "Host":
        """Return the host with what its agent says of itself at the start of a session."""
        return replace(
            self,
            cloud=facts.cloud,
            hypervisor=facts.hypervisor,
            agent_version=facts.agent_version,
            replication_address=facts.replication_address,
            minimum_copy_interval=facts.minimum_copy_interval,
            last_seen_at=now,
        )

    def seen(self, now: datetime) -> "Host":
        """Return the host as last heard of at `now`."""
        return replace(self, last_seen_at=now)


def check_site(site: str) -> str:
    """Return the name of a site if it is one."""
    return check_name("site", site, "site")
