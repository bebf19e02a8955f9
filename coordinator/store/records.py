"""Everything the vault keeps, as one transaction sees it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.domain.decisions import Decision
from coordinator.domain.events import Event
from coordinator.domain.hosts import Host
from coordinator.domain.identifiers import HostId, ProtectionId, VaultId
from coordinator.domain.jobs import Job, JobState
from coordinator.domain.network_mappings import NetworkMapping
from coordinator.domain.orders import Order
from coordinator.domain.policies import Policy
from coordinator.domain.protections import Protection
from coordinator.domain.registration_keys import RegistrationKey
from coordinator.domain.rehearsals import Rehearsal, RehearsalState
from coordinator.domain.replication import ReplicationReport
from coordinator.store import schema
from coordinator.store.inventories import Inventories
from coordinator.store.points import Points
from coordinator.store.repository import MAX_ROWS, Repository, Rows


@dataclass(frozen=True, slots=True)
class VaultRecord:
    """Which vault this is."""

    id: VaultId
    name: str
    created_at: datetime


class Records:
    """What a transaction can read."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.hosts = Repository(connection, schema.hosts, Host, word="host", name="name")
        self.keys = Repository(
            connection, schema.registration_keys, RegistrationKey, word="registration key"
        )
        self.policies = Repository(connection, schema.policies, Policy, word="policy", name="name")
        self.mappings = Repository(
            connection, schema.network_mappings, NetworkMapping, word="network mapping"
        )
        self.protections = Repository(
            connection, schema.protections, Protection, word="protection", name="machine_name"
        )
        self.rehearsals = Repository(connection, schema.rehearsals, Rehearsal, word="test failover")
        self.jobs = Repository(connection, schema.jobs, Job, word="job")
        self.orders = Repository(connection, schema.orders, Order, word="order")
        self.inventories = Inventories(connection)
        self.points = Points(connection)
        self._reports = Rows(connection, schema.replication_reports, ReplicationReport)
        self._events = Rows(connection, schema.events, Event)
        self._vault = Rows(connection, schema.vault, VaultRecord)

    async def vault(self) -> VaultRecord | None:
        """Return which vault this is, None before one was created."""
        return await self._vault.first()

    async def control_version(self) -> int:
        """Return a number that rises with every decision and is never used again."""
        query = select(func.max(schema.events.c.number))
        return (await self._connection.execute(query)).scalar_one() or 0

    async def history(self, *, limit: int = MAX_ROWS) -> tuple[Event, ...]:
        """Return what happened, newest first."""
        return await self._events.where(order=schema.events.c.number.desc(), limit=limit)

    async def open_orders(self, host_id: HostId) -> tuple[Order, ...]:
        """Return the host's orders without an outcome, oldest first."""
        table = schema.orders
        return await self.orders.where(
            table.c.host_id == host_id, table.c.finished_at.is_(None), order=table.c.issued_at
        )

    async def recent_jobs(self) -> tuple[Job, ...]:
        """Return jobs, newest first."""
        return await self.jobs.where(order=schema.jobs.c.created_at.desc())

    async def running_jobs(self) -> int:
        """Return how many jobs are running."""
        running = schema.jobs.c.state == JobState.RUNNING
        query = select(func.count()).select_from(schema.jobs).where(running)
        return (await self._connection.execute(query)).scalar_one()

    async def recent_rehearsals(self) -> tuple[Rehearsal, ...]:
        """Return test failovers, newest first."""
        return await self.rehearsals.where(order=schema.rehearsals.c.created_at.desc())

    async def unfinished_rehearsal(self, protection_id: ProtectionId) -> Rehearsal | None:
        """Return the protection's test failover that is not cleaned up, None where there is none."""
        table = schema.rehearsals
        return await self.rehearsals.first(
            table.c.protection_id == protection_id, table.c.state != RehearsalState.CLEANED_UP
        )

    async def last_rehearsal(self, protection_id: ProtectionId) -> Rehearsal | None:
        """Return the protection's newest test failover, None where there never was one."""
        table = schema.rehearsals
        return await self.rehearsals.first(
            table.c.protection_id == protection_id, order=table.c.created_at.desc()
        )

    async def protection_of_machine(self, machine_id: str) -> Protection | None:
        """Return the protection of a machine, None where there is none."""
        return await self.protections.first(schema.protections.c.machine_id == machine_id)

    async def mappings_between(
        self, primary: HostId, secondary: HostId
    ) -> tuple[NetworkMapping, ...]:
        """Return the network mappings from one host to another."""
        table = schema.network_mappings
        return await self.mappings.where(
            table.c.primary_host_id == primary, table.c.secondary_host_id == secondary
        )

    async def reports(self) -> tuple[ReplicationReport, ...]:
        """Return the last report of every protection that was kept."""
        return await self._reports.where()


class WritableRecords(Records):
    """What a transaction can read and change; nothing is kept unless all of it is."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection)
        self._repositories: dict[type, Repository[Any]] = {
            Host: self.hosts,
            RegistrationKey: self.keys,
            Policy: self.policies,
            NetworkMapping: self.mappings,
            Protection: self.protections,
            Rehearsal: self.rehearsals,
            Job: self.jobs,
        }

    async def save(self, decision: Decision) -> None:
        """Keep a decision: aggregates, orders, events."""
        for aggregate in decision.aggregates:
            await self._repositories[type(aggregate)].save(aggregate)
        for order in decision.orders:
            await self.orders.save(order)
        if decision.events:
            rows = [self._events.values(event) for event in decision.events]
            await self._connection.execute(insert(schema.events), rows)

    async def save_vault(self, record: VaultRecord) -> None:
        """Keep which vault this is, once."""
        await self._connection.execute(insert(schema.vault).values(self._vault.values(record)))

    async def save_report(self, report: ReplicationReport) -> None:
        """Keep a source's report in place of its last one."""
        table = schema.replication_reports
        same = table.c.protection_id == report.protection_id
        await self._connection.execute(delete(table).where(same))
        await self._connection.execute(insert(table).values(self._reports.values(report)))
