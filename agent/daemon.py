"""Composes the agent and runs it: replicas, replications, orders, the session with the vault."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from agent.budget import ByteBudget
from agent.config import AgentSettings
from agent.control.anchor import ControlAnchor
from agent.control.backlog import Backlog
from agent.control.deny_lists import DenyLists
from agent.control.duties import Duties
from agent.control.handlers import OrderHandlers, TargetActions
from agent.control.holdings import Holdings
from agent.control.introduction import Introduction
from agent.control.inventory import InventoryReports
from agent.control.ledger import OrderLedger
from agent.control.membership import Membership, MembershipFolder
from agent.control.messages import host_facts
from agent.control.orders import Orders
from agent.control.renewal import CertificateRenewal
from agent.control.replica_reports import ReplicaReports
from agent.control.run import Run
from agent.control.session import Session
from agent.control.source_actions import source_actions
from agent.control.stream import GrpcRenewal, GrpcSessionDialler
from agent.failover.disks import DiskFolders
from agent.failover.outcome import RehearsalError
from agent.failover.records import RehearsalRecords
from agent.failover.rehearsal import Rehearsals
from agent.grants import GrantReader
from agent.hypervisor.interface import Hypervisor, HypervisorError
from agent.hypervisor.simulated.driver import SimulatedHypervisor
from agent.machinery import Machinery
from agent.replica.errors import ReplicaError
from agent.replica.exporting import PointExporter
from agent.replica.images import VhdxImages
from agent.replica.raw_images import RawImages
from agent.replica.receiver import Receiver
from agent.replica.store import ReplicaStore
from agent.source.grants import GrantFolder
from agent.source.host import READ_AHEAD_BYTES, SourceHost
from agent.source.replicators import Replicators
from agent.source.state_folder import StateFolder
from replikera.channel import (
    REPLICATION_LIMITS,
    GrpcDialler,
    Server,
    mutual_tls_server,
    replication_service,
)
from replikera.denials import Denials
from replikera.export_names import ExportFormat
from replikera.identity import Credentials, CredentialsHolder
from replikera.wire.v1.types_pb2 import HostFacts

STOP_SECONDS = 1.0
"""How long replication conversations may take to end; what is not sealed is sent again anyway."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this host is in its vault, and which run of it this is."""

    folder: MembershipFolder
    membership: Membership
    credentials: Credentials
    run: Run


class Agent:
    """All parts of one host's agent, composed."""

    def __init__(self, settings: AgentSettings, identity: Identity, machinery: Machinery) -> None:
        m, folder = machinery, settings.agent.state_directory
        self._trust = _Trust(identity, m, folder)
        self._backlog = Backlog()
        hypervisor = _hypervisor(settings, m)
        self._store = ReplicaStore(m.files, m.replicas, m.clock, m.randomness, settings.folders)
        self._rehearsals = rehearsals = _rehearsals(hypervisor, self._store, m, folder)
        reader = self._trust.reader
        exporter = PointExporter(
            m.files,
            m.replicas,
            settings.folders.exports,
            {ExportFormat.VHDX: VhdxImages(m.randomness), ExportFormat.RAW: RawImages()},
        )
        self._reports = ReplicaReports(
            self._store, exporter, reader, self._backlog, rehearsals.using
        )
        self._replicators = _replicators(hypervisor, self._trust, m, settings, self._backlog)
        handlers = OrderHandlers(
            source_actions(self._replicators, self._backlog),
            TargetActions(
                accept=self._reports.accept,
                remove=self._reports.remove,
                digest=self._reports.digest,
                export=self._reports.export,
                start_rehearsal=rehearsals.start,
                clean_up_rehearsal=rehearsals.clean_up,
            ),
        )
        self._ledger = OrderLedger(m.files, m.state, m.clock, folder / "orders")
        self._anchor = ControlAnchor(m.files, m.state, folder / "control.json")
        self._orders = Orders(self._ledger, handlers.handle, self._backlog, m.clock)
        self._inventory = InventoryReports(hypervisor, self._backlog, m.clock)
        self._session = self._compose_session(settings, identity, hypervisor, m)
        self._trust.holder.subscribe(lambda _credentials: self._session.renewed())
        receiver = Receiver(self._store, self._trust.reader, m.clock)
        self._server = _server(settings, self._trust, receiver)

    async def run(
        self, stopping: asyncio.Event, *, ready: Callable[[], None] = lambda: None
    ) -> None:
        """Run until told to stop; `ready` is called once everything runs and others are let in."""
        try:
            await self._open()
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._store.run()),
                    group.create_task(self._replicators.run()),
                    group.create_task(self._orders.run()),
                    group.create_task(self._inventory.run()),
                    group.create_task(self._session.run()),
                    group.create_task(self._trust.renewal.run()),
                ]
                await self._server.start()
                log.info("agent ready", replication_port=self._server.port)
                ready()
                await stopping.wait()
                log.info("agent stopping")
                for task in tasks:
                    task.cancel()
        finally:
            await self._server.stop(STOP_SECONDS)
        log.info("agent stopped")

    async def _open(self) -> None:
        # Before anybody is let in, and before the first Hello, which tells all of it.
        await self._trust.deny_lists.open()
        await self._anchor.open()
        await self._ledger.open()
        await self._store.open()
        await self._replicators.open()
        self._reports.watch_all()
        await self._release_forgotten()

    async def _release_forgotten(self) -> None:
        try:
            await self._rehearsals.release_forgotten(self._store.all())
        except (RehearsalError, HypervisorError, ReplicaError, OSError) as error:
            # Replication goes on, only the base stands still; the next start looks again.
            log.warning("pins of test failovers that are gone stay", cause=str(error))

    def _compose_session(
        self, settings: AgentSettings, identity: Identity, hypervisor: Hypervisor, m: Machinery
    ) -> Session:
        holdings = Holdings(
            self._replicators.held,
            self._store.all,
            self._backlog.machine_name,
            self._rehearsals.held,
        )
        facts = _facts(settings, hypervisor)
        trust = self._trust
        return Session(
            GrpcSessionDialler(identity.membership.session_address, trust.holder),
            Introduction(facts, identity.run, self._anchor, trust.deny_lists, holdings),
            Duties(self._anchor, self._orders, trust.deny_lists, self._replicators.renew_grant),
            self._backlog,
            host_id=identity.membership.host_id,
            anchor=self._anchor,
            clock=m.clock,
            randomness=m.randomness,
        )


class _Trust:
    """What this host proves itself by, and whom it believes."""

    def __init__(self, identity: Identity, m: Machinery, folder: Path) -> None:
        membership, credentials = identity.membership, identity.credentials
        self.vault_id = membership.vault_id
        self.holder = CredentialsHolder(credentials)
        self.denials = Denials()
        self.reader = GrantReader(
            host_id=membership.host_id,
            vault_id=membership.vault_id,
            root_certificate=credentials.root_certificate,
            clock=m.clock,
        )
        self.deny_lists = DenyLists(
            m.files,
            m.state,
            m.clock,
            folder / "deny-list",
            self.denials,
            vault_id=membership.vault_id,
            root_certificate=credentials.root_certificate,
        )
        self.renewal = CertificateRenewal(
            self.holder,
            membership,
            identity.folder,
            GrpcRenewal(membership.session_address),
            worker=m.state,
            clock=m.clock,
            randomness=m.randomness,
        )


def _hypervisor(settings: AgentSettings, m: Machinery) -> Hypervisor:
    driver = settings.hypervisor.simulated
    ports = (m.files, m.hypervisor, m.clock, m.randomness, m.processes)
    return SimulatedHypervisor(*ports, driver.root, driver.keep_views)


def _facts(settings: AgentSettings, hypervisor: Hypervisor) -> HostFacts:
    return host_facts(
        hypervisor,
        name=settings.agent.host_name,
        cloud=settings.agent.cloud or "",
        replication_address=settings.replication.address,
        replica_folders=settings.folders.replicas,
    )


def _replicators(
    hypervisor: Hypervisor,
    trust: _Trust,
    m: Machinery,
    settings: AgentSettings,
    backlog: Backlog,
) -> Replicators:
    folder = settings.agent.state_directory / "protections"
    host = SourceHost(
        hypervisor=hypervisor,
        dialler=GrpcDialler(trust.holder),
        worker=m.source,
        clock=m.clock,
        randomness=m.randomness,
        budget=ByteBudget(READ_AHEAD_BYTES),
        folder=StateFolder(m.files, folder),
        grants=GrantFolder(m.files, folder),
        reader=trust.reader,
        holder=trust.holder,
        denials=trust.denials,
        observer=backlog.report_replication,
        view_limits=settings.view_limits,
    )
    return Replicators(host)


def _rehearsals(
    hypervisor: Hypervisor, store: ReplicaStore, m: Machinery, folder: Path
) -> Rehearsals:
    records = RehearsalRecords(m.files, m.state, folder / "rehearsals")
    disks = DiskFolders(m.files, m.state, hypervisor.storage_path)
    return Rehearsals(records, disks, hypervisor, store.get, m.clock)


def _server(settings: AgentSettings, trust: _Trust, receiver: Receiver) -> Server:
    handlers = (replication_service(receiver.serve, trust.denials, trust.vault_id),)
    return mutual_tls_server(
        settings.replication.listen,
        trust.holder,
        lambda server: server.add_generic_rpc_handlers(handlers),
        REPLICATION_LIMITS,
    )
