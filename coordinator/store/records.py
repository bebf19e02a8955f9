"""Everything the vault keeps, as one transaction sees it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Table,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    union,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from coordinator.domain.aggregates import Aggregate
from coordinator.domain.certificates import Certificate, CertificateState
from coordinator.domain.commands import Command
from coordinator.domain.control import Control
from coordinator.domain.decisions import Decision
from coordinator.domain.hosts import Contact, Host, HostState
from coordinator.domain.identifiers import HostId, JobId, PolicyId, ProtectionId, VaultId
from coordinator.domain.jobs import Job, JobKind, JobState
from coordinator.domain.network_mappings import NetworkMapping
from coordinator.domain.operators import Operator
from coordinator.domain.orders import Order
from coordinator.domain.policies import Policy
from coordinator.domain.protections import Protection, ProtectionState
from coordinator.domain.registration_keys import RegistrationKey
from coordinator.domain.rehearsals import Rehearsal, RehearsalState
from coordinator.domain.replication import ReplicationReport
from coordinator.domain.sites import Cloud, Site
from coordinator.domain.storage_mappings import StorageMapping
from coordinator.store import schema
from coordinator.store.history import Anchor, History
from coordinator.store.inventories import Inventories
from coordinator.store.paging import DEFAULT_LIMIT, Ordering, Page
from coordinator.store.points import Points
from coordinator.store.repository import Repository, Rows, groups
from coordinator.store.requests import Requests
from replikera.identity import Role

_Conditions: TypeAlias = Callable[[FromClause], Sequence[ColumnElement[bool]]]


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
            connection,
            schema.registration_keys,
            RegistrationKey,
            word="registration key",
            ordering=_newest_first(schema.registration_keys),
        )
        self.policies = Repository(connection, schema.policies, Policy, word="policy", name="name")
        self.mappings = Repository(
            connection, schema.network_mappings, NetworkMapping, word="network mapping"
        )
        self.storage_mappings = Repository(
            connection, schema.storage_mappings, StorageMapping, word="storage mapping"
        )
        self.protections = Repository(
            connection,
            schema.protections,
            Protection,
            word="protection",
            name="machine_name",
            other_id="machine_id",
        )
        self.rehearsals = Repository(
            connection,
            schema.rehearsals,
            Rehearsal,
            word="test failover",
            ordering=_newest_first(schema.rehearsals),
        )
        self.jobs = Repository(
            connection, schema.jobs, Job, word="job", ordering=_newest_first(schema.jobs)
        )
        self.orders = Repository(connection, schema.orders, Order, word="order")
        self.sites = Repository(connection, schema.sites, Site, word="site", name="name")
        self.clouds = Repository(connection, schema.clouds, Cloud, word="cloud", name="name")
        self.operators = Repository(
            connection, schema.operators, Operator, word="operator", name="name"
        )
        self.certificates = Repository(
            connection, schema.certificates, Certificate, word="certificate"
        )
        self.inventories = Inventories(connection)
        self.points = Points(connection)
        self._reports = Rows(connection, schema.replication_reports, ReplicationReport)
        self.history = History(connection)
        self.requests = Requests(connection)
        self._control = Repository(connection, schema.control, Control, word="vault")
        self._vault = Rows(connection, schema.vault, VaultRecord)

    async def vault(self) -> VaultRecord | None:
        """Return which vault this is, None before one was created."""
        return await self._vault.first()

    async def control(self) -> Control:
        """Return what the vault knows of itself."""
        found = await self._control.first()
        if found is None:
            raise AssertionError("a vault without its control row")
        return found

    async def head(self) -> Anchor:
        """Return the newest place of the history; its number rises with every decision and is never used again."""
        return await self.history.head()

    async def done(self, command: Command) -> str | None:
        """Return the result of the same request, None where it comes for the first time. Raises `RefusedError`."""
        return await self.requests.done(command)

    async def jobs_page(
        self,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
        *,
        state: JobState | None = None,
        subject: str | None = None,
    ) -> Page[Job]:
        """Return a page of jobs, newest first: in one state, about one object. Raises `InvalidValueError`."""
        table = schema.jobs
        conditions = []
        if state is not None:
            conditions.append(table.c.state == state)
        if subject is not None:
            conditions.append(table.c.subject == subject)
        return await self.jobs.page(cursor, limit, *conditions)

    async def rehearsals_page(
        self, cursor: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> Page[Rehearsal]:
        """Return a page of test failovers, newest first. Raises `InvalidValueError`."""
        return await self.rehearsals.page(cursor, limit)

    async def certificates_of(self, role: Role, name: str) -> tuple[Certificate, ...]:
        """Return all certificates of a member that are kept, newest first."""
        table = schema.certificates
        return await self.certificates.where(
            table.c.role == role, table.c.name == name, order=table.c.issued_at.desc()
        )

    async def denied_certificates(self, now: datetime) -> tuple[Certificate, ...]:
        """Return the certificates that are denied and would be valid."""
        table = schema.certificates
        return await self.certificates.where(
            table.c.state == CertificateState.DENIED, table.c.not_after > now, limit=None
        )

    async def distrusted_hosts(self) -> tuple[Host, ...]:
        """Return the hosts that are not active."""
        return await self.hosts.where(schema.hosts.c.state != HostState.ACTIVE, limit=None)

    async def grants_ending(self, before: datetime, limit: int) -> tuple[Protection, ...]:
        """Return protections between trusted hosts whose grant ends before that, the first to end first.

        Those without one come before all; failed ones and those that end need none.
        """
        table = schema.protections
        trusted = select(schema.hosts.c.id).where(schema.hosts.c.state == HostState.ACTIVE)
        return await self.protections.where(
            or_(table.c.grant_not_after.is_(None), table.c.grant_not_after < before),
            table.c.state.not_in((ProtectionState.FAILED, ProtectionState.DISABLING)),
            table.c.source_host_id.in_(trusted),
            table.c.target_host_id.in_(trusted),
            order=table.c.grant_not_after.asc().nulls_first(),
            limit=limit,
        )

    async def keys_used_by(self, host_id: HostId) -> tuple[RegistrationKey, ...]:
        """Return the registration keys that let this host in."""
        return await self.keys.where(schema.registration_keys.c.host_id == host_id)

    async def open_orders(self, host_id: HostId) -> tuple[Order, ...]:
        """Return the host's orders without an outcome, oldest first."""
        table = schema.orders
        return await self.orders.where(
            table.c.host_id == host_id, table.c.finished_at.is_(None), order=table.c.issued_at
        )

    async def open_orders_of(self, job_id: JobId) -> tuple[Order, ...]:
        """Return a job's orders without an outcome, oldest first."""
        table = schema.orders
        return await self.orders.where(
            table.c.job_id == job_id, table.c.finished_at.is_(None), order=table.c.issued_at
        )

    async def running_job_of(self, protection_id: ProtectionId, kind: JobKind) -> Job | None:
        """Return a protection's job of one kind that runs, None where none does."""
        table = schema.jobs
        return await self.jobs.first(
            table.c.protection_id == protection_id,
            table.c.kind == kind,
            table.c.state == JobState.RUNNING,
        )

    async def running_jobs_of(self, protection_id: ProtectionId) -> tuple[Job, ...]:
        """Return all jobs of a protection that run, oldest first."""
        table = schema.jobs
        return await self.jobs.where(
            table.c.protection_id == protection_id,
            table.c.state == JobState.RUNNING,
            order=table.c.created_at,
        )

    async def running_jobs(self) -> int:
        """Return how many jobs are running."""
        running = schema.jobs.c.state == JobState.RUNNING
        query = select(func.count()).select_from(schema.jobs).where(running)
        return (await self._connection.execute(query)).scalar_one()

    async def unfinished_rehearsal(self, protection_id: ProtectionId) -> Rehearsal | None:
        """Return the protection's test failover that is not cleaned up, None where there is none."""
        table = schema.rehearsals
        return await self.rehearsals.first(
            table.c.protection_id == protection_id, table.c.state != RehearsalState.CLEANED_UP
        )

    async def rehearsals_ended(self, now: datetime, limit: int) -> tuple[Rehearsal, ...]:
        """Return test failovers that stand, or have failed, and whose time is up."""
        table = schema.rehearsals
        states = (RehearsalState.STARTED, RehearsalState.FAILED)
        return await self.rehearsals.where(
            table.c.ends_at <= now, table.c.state.in_(states), limit=limit
        )

    async def last_rehearsal(self, protection_id: ProtectionId) -> Rehearsal | None:
        """Return the protection's newest test failover, None where there never was one."""
        table = schema.rehearsals
        return await self.rehearsals.first(
            table.c.protection_id == protection_id, order=table.c.created_at.desc()
        )

    async def last_rehearsals_of(
        self, protections: Iterable[Protection]
    ) -> dict[ProtectionId, Rehearsal]:
        """Return the newest test failover of each of these, where there was one."""
        return await self._newest_rehearsals_of(protections, lambda _table: ())

    async def last_successes_of(
        self, protections: Iterable[Protection]
    ) -> dict[ProtectionId, Rehearsal]:
        """Return the newest test failover of each of these that was successful to its end, where there was one."""
        return await self._newest_rehearsals_of(protections, _successful)

    async def _newest_rehearsals_of(
        self, protections: Iterable[Protection], conditions: _Conditions
    ) -> dict[ProtectionId, Rehearsal]:
        table, other = schema.rehearsals, schema.rehearsals.alias()
        newest = select(func.max(other.c.created_at)).where(
            other.c.protection_id == table.c.protection_id, *conditions(other)
        )
        found: dict[ProtectionId, Rehearsal] = {}
        for group in groups([protection.id for protection in protections]):
            rehearsals = await self.rehearsals.where(
                table.c.protection_id.in_(group),
                table.c.created_at == newest.scalar_subquery(),
                *conditions(table),
                limit=None,
            )
            found |= {rehearsal.protection_id: rehearsal for rehearsal in rehearsals}
        return found

    async def protection_of_machine(self, machine_id: str) -> Protection | None:
        """Return the protection of a machine, None where there is none."""
        return await self.protections.first(schema.protections.c.machine_id == machine_id)

    async def protections_following(self, policy_id: PolicyId) -> tuple[Protection, ...]:
        """Return the protections that follow a policy, by the names of their machines."""
        table = schema.protections
        return await self.protections.where(
            table.c.policy_id == policy_id, order=table.c.machine_name, limit=None
        )

    async def protections_of(self, host_id: HostId) -> tuple[Protection, ...]:
        """Return the protections whose source or target is this host."""
        table = schema.protections
        return await self.protections.where(
            or_(table.c.source_host_id == host_id, table.c.target_host_id == host_id), limit=None
        )

    async def protection_members(self) -> set[HostId]:
        """Return the sources and targets of all protections."""
        table = schema.protections
        sides = union(select(table.c.source_host_id), select(table.c.target_host_id))
        return {HostId(row[0]) for row in await self._connection.execute(sides)}

    async def all_open_orders(self) -> tuple[Order, ...]:
        """Return the orders of all hosts that have no outcome."""
        return await self.orders.where(schema.orders.c.finished_at.is_(None), limit=None)

    async def unused_keys(self) -> tuple[RegistrationKey, ...]:
        """Return the registration keys that were neither used nor revoked."""
        table = schema.registration_keys
        return await self.keys.where(
            table.c.used_at.is_(None), table.c.revoked_at.is_(None), limit=None
        )

    async def mappings_between(
        self, primary: HostId, secondary: HostId
    ) -> tuple[NetworkMapping, ...]:
        """Return the network mappings from one host to another."""
        table = schema.network_mappings
        return await self.mappings.where(
            table.c.primary_host_id == primary, table.c.secondary_host_id == secondary
        )

    async def storage_mappings_between(
        self, primary: HostId, secondary: HostId
    ) -> tuple[StorageMapping, ...]:
        """Return the storage mappings from one host to another."""
        table = schema.storage_mappings
        return await self.storage_mappings.where(
            table.c.primary_host_id == primary, table.c.secondary_host_id == secondary
        )

    async def protections_between(self, source: HostId, target: HostId) -> tuple[Protection, ...]:
        """Return the protections from one host to another, by the names of their machines."""
        table = schema.protections
        return await self.protections.where(
            table.c.source_host_id == source,
            table.c.target_host_id == target,
            order=table.c.machine_name,
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
            StorageMapping: self.storage_mappings,
            Protection: self.protections,
            Rehearsal: self.rehearsals,
            Job: self.jobs,
            Site: self.sites,
            Cloud: self.clouds,
            Operator: self.operators,
            Certificate: self.certificates,
            Control: self._control,
        }

    async def save(self, decision: Decision, command: Command, *, result: str = "") -> None:
        """Keep a decision: aggregates, orders, events, and what the command's repetition is answered with."""
        for aggregate in decision.aggregates:
            await self._repositories[type(aggregate)].save(aggregate)
        for order in decision.orders:
            await self.orders.save(order)
        for aggregate in decision.removed:
            await self._remove(aggregate)
        await self.history.add(decision.events, command.actor)
        if command.key is not None and result:
            await self.requests.add(command, result, decision.events[0].occurred_at)

    async def _remove(self, aggregate: Aggregate) -> None:
        """Drop an aggregate that nothing refers to, with what hosts may have claimed of it."""
        if isinstance(aggregate, Protection):
            for table in (
                schema.replication_reports,
                schema.processed_points,
                schema.points,
                schema.rehearsals,
            ):
                of_it = table.c.protection_id == aggregate.id
                await self._connection.execute(delete(table).where(of_it))
        await self._repositories[type(aggregate)].remove(aggregate)

    async def forget_certificates(self, before: datetime) -> None:
        """Drop certificates that expired before that."""
        table = schema.certificates
        await self._connection.execute(delete(table).where(table.c.not_after < before))

    async def keep_contacts(self, contacts: Iterable[Contact]) -> None:
        """Keep the last contact with each of these hosts, all in one statement; nothing else of them is touched."""
        table = schema.hosts
        statement = (
            update(table)
            .where(table.c.id == bindparam("host"))
            .values(last_seen_at=bindparam("seen_at"), deny_list_version=bindparam("version"))
        )
        rows = [
            {"host": item.host_id, "seen_at": item.seen_at, "version": item.deny_list_version}
            for item in contacts
        ]
        if rows:
            await self._connection.execute(statement, rows)

    async def save_vault(self, record: VaultRecord) -> None:
        """Keep which vault this is, once."""
        await self._connection.execute(insert(schema.vault).values(self._vault.values(record)))

    async def save_report(self, report: ReplicationReport) -> None:
        """Keep a source's report in place of its last one."""
        table = schema.replication_reports
        same = table.c.protection_id == report.protection_id
        await self._connection.execute(delete(table).where(same))
        await self._connection.execute(insert(table).values(self._reports.values(report)))


def _successful(rehearsals: FromClause) -> Sequence[ColumnElement[bool]]:
    """Return what makes a test failover a successful one, as `Rehearsal.is_successful` does."""
    return (rehearsals.c.was_started, rehearsals.c.state == RehearsalState.CLEANED_UP)


def _newest_first(table: Table) -> Ordering:
    return Ordering(table.c.created_at, table.c.id, descending=True)
