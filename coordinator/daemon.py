"""Composes the coordinator and runs it: enrolment, host sessions, REST."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from coordinator.config import CoordinatorSettings
from coordinator.orchestration.founding import open_vault
from coordinator.orchestration.machinery import Machinery, StateDirectory
from coordinator.orchestration.upkeep import Upkeep
from coordinator.orchestration.vault import Addresses, Vault
from coordinator.rpc.enrolment import EnrolmentService
from coordinator.rpc.session import HostSessionService
from coordinator.web.server import ApiServer
from replikera.channel import Limits, Server, enrolment_server, mutual_tls_server

SESSION_LIMITS = Limits(message_bytes=4 * 1024 * 1024, concurrent_streams=4)
"""The inventory of a full host is about 2 MiB. A host needs one stream, and a second one to replace it."""

DRAIN_SECONDS = 5.0
"""How long hosts may take to finish and leave when the coordinator stops."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports that are listened on."""

    enrolment: int
    session: int
    api: int


def state_directory(settings: CoordinatorSettings) -> StateDirectory:
    """Return where the vault of these settings is."""
    folder = settings.vault.state_directory
    return StateDirectory(folder, settings.vault.passphrase_file or folder / "passphrase")


async def run(
    settings: CoordinatorSettings,
    machinery: Machinery,
    stopping: asyncio.Event,
    *,
    ready: Callable[[Ports], None] | None = None,
) -> None:
    """Serve until `stopping` is set; `ready` is told the ports once all listeners accept.

    Raises `DomainError`, `StoreError`, `AuthorityError`, `OSError` where it cannot start.
    """
    async with AsyncExitStack() as stack:
        vault = await stack.enter_async_context(_opened(settings, machinery))
        upkeep = Upkeep(vault, machinery, state_directory(settings))
        # Left after the sessions are over: when their hosts were heard last is known then.
        stack.push_async_callback(upkeep.finish)
        ports = await _listen(stack, settings, vault)
        # Entered last: what goes wrong before is told as it is, not as one of a group.
        await stack.enter_async_context(_running(upkeep))
        log.info(
            "coordinator ready",
            vault=vault.record.id,
            enrolment_port=ports.enrolment,
            session_port=ports.session,
            api_port=ports.api,
        )
        if ready is not None:
            ready(ports)
        await stopping.wait()
        log.info("coordinator stopping")
    log.info("coordinator stopped")


@asynccontextmanager
async def _opened(settings: CoordinatorSettings, machinery: Machinery) -> AsyncIterator[Vault]:
    addresses = Addresses(settings.enrolment.address, settings.session.address)
    vault = await open_vault(machinery, state_directory(settings), addresses)
    try:
        yield vault
    finally:
        await vault.store.close()


@asynccontextmanager
async def _running(upkeep: Upkeep) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(upkeep.run())
        try:
            yield
        finally:
            running.cancel()


async def _listen(stack: AsyncExitStack, settings: CoordinatorSettings, vault: Vault) -> Ports:
    enrolment = enrolment_server(
        settings.enrolment.listen, vault.server, EnrolmentService(vault).register
    )
    await stack.enter_async_context(_serving(enrolment, grace=0))
    sessions = HostSessionService(vault)
    stack.push_async_callback(sessions.finished)
    session = mutual_tls_server(
        settings.session.listen, vault.server, sessions.register, SESSION_LIMITS
    )
    await stack.enter_async_context(_serving(session, grace=DRAIN_SECONDS))
    # Left before the listener is stopped: hosts are told to finish, and then given the grace.
    stack.callback(vault.presence.stop)
    api = await stack.enter_async_context(ApiServer(vault, settings.api.listen, vault.server))
    return Ports(enrolment.port, session.port, api.port)


@asynccontextmanager
async def _serving(server: Server, *, grace: float) -> AsyncIterator[None]:
    await server.start()
    try:
        yield
    finally:
        await server.stop(grace)
