"""Composes the agent and runs it: replicas, replications, orders, the session with the vault."""

import asyncio
from pathlib import Path

import structlog

from agent.config import AgentSettings
from agent.control.backlog import Backlog
from agent.control.control_version import ControlVersion
from agent.control.handlers import Actions, OrderHandlers
from agent.control.inventory import InventoryReports
from agent.control.ledger import OrderLedger
from agent.control.membership import Membership
from agent.control.messages import host_facts
from agent.control.orders import Orders
from agent.control.replica_reports import ReplicaReports
from agent.control.session import Session
from agent.control.stream import GrpcSessionDialler
from agent.failover.disks import DiskFolders
from agent.failover.records import RehearsalRecords
from agent.failover.rehearsal import Rehearsals
from agent.hypervisor.interface import Hypervisor
from agent.hypervisor.simulated.driver import SimulatedHypervisor
from agent.machinery import Machinery
from agent.replica.receiver import Receiver
from agent.replica.store import ReplicaStore
from agent.source.budget import ReadAheadBudget
from agent.source.replicator import SourceHost
from agent.source.replicators import Replicators
from agent.source.state import StateFolder
from replikera.channel import (
    REPLICATION_LIMITS,
    GrpcDialler,
    Server,
    mutual_tls_server,
    replication_service,
)
from replikera.identity import Credentials

STOP_SECONDS = 1.0
"""How long replication conversations may take to end; what is not sealed is sent again anyway."""

log = structlog.get_logger(__name__)


class Agent:
    """All parts of one host's agent, composed."""

    def __init__(
        self,
        settings: AgentSettings,
        membership: Membership,
        credentials: Credentials,
        machinery: Machinery,
    ) -> None:
        m, folder = machinery, settings.agent.state_directory
        self._backlog = Backlog()
        hypervisor = _hypervisor(settings, m)
        self._store = ReplicaStore(m.files, m.replicas, m.clock, m.randomness, folder / "replicas")
        self._reports = ReplicaReports(self._store, self._backlog)
        self._replicators = _replicators(hypervisor, credentials, m, folder, self._backlog)
        rehearsals = _rehearsals(hypervisor, self._store, m, folder)
        actions = Actions(
            self._reports.accept, self._replicators.start, rehearsals.start, rehearsals.clean_up
        )
        self._ledger = OrderLedger(m.files, m.state, m.clock, folder / "orders")
        self._version = ControlVersion(m.files, m.state, folder / "control.json")
        self._orders = Orders(self._ledger, OrderHandlers(actions).handle, self._backlog, m.clock)
        self._inventory = InventoryReports(hypervisor, self._backlog, m.clock)
        self._session = Session(
            GrpcSessionDialler(membership.session_address, credentials),
            self._orders,
            self._backlog,
            host_id=membership.host_id,
            facts=host_facts(hypervisor, *settings.host_facts),
            version=self._version,
            clock=m.clock,
            randomness=m.randomness,
        )
        self._server = _server(settings, credentials, Receiver(self._store, m.clock))

    async def run(self, stopping: asyncio.Event) -> None:
        """Run until told to stop."""
        try:
            await self._open()
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._store.run()),
                    group.create_task(self._replicators.run()),
                    group.create_task(self._orders.run()),
                    group.create_task(self._inventory.run()),
                    group.create_task(self._session.run()),
                ]
                await self._server.start()
                log.info("agent ready", replication_port=self._server.port)
                await stopping.wait()
                log.info("agent stopping")
                for task in tasks:
                    task.cancel()
        finally:
            await self._server.stop(STOP_SECONDS)
        log.info("agent stopped")

    async def _open(self) -> None:
        await self._version.open()
        await self._ledger.open()
        await self._store.open()
        self._reports.watch_all()


def _hypervisor(settings: AgentSettings, m: Machinery) -> Hypervisor:
    driver = settings.hypervisor.simulated
    ports = (m.files, m.hypervisor, m.clock, m.randomness, m.processes)
    return SimulatedHypervisor(*ports, driver.root, driver.keep_views)


def _replicators(
    hypervisor: Hypervisor, credentials: Credentials, m: Machinery, folder: Path, backlog: Backlog
) -> Replicators:
    host = SourceHost(
        hypervisor=hypervisor,
        dialler=GrpcDialler(credentials),
        worker=m.source,
        clock=m.clock,
        randomness=m.randomness,
        budget=ReadAheadBudget(),
        folder=StateFolder(m.files, folder / "protections"),
        observer=backlog.report_replication,
    )
    return Replicators(host)


def _rehearsals(
    hypervisor: Hypervisor, store: ReplicaStore, m: Machinery, folder: Path
) -> Rehearsals:
    records = RehearsalRecords(m.files, m.state, folder / "rehearsals")
    disks = DiskFolders(m.files, m.state, hypervisor.storage_path)
    return Rehearsals(records, disks, hypervisor, store.get, m.clock)


def _server(settings: AgentSettings, credentials: Credentials, receiver: Receiver) -> Server:
    handlers = (replication_service(receiver.serve),)
    return mutual_tls_server(
        settings.replication.listen,
        credentials,
        lambda server: server.add_generic_rpc_handlers(handlers),
        REPLICATION_LIMITS,
    )
