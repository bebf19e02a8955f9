"""A session of the target host with the vault, without a network."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from typing_extensions import override

from coordinator.domain.identifiers import HostId
from coordinator.orchestration.vault import Vault
from coordinator.rpc.session import HostSessionService
from replikera.identity import Caller
from replikera.wire.v1 import session_pb2, types_pb2
from tests.support.virtual_clock import VirtualClock
from tests.unit.coordinator.calls import FakeContext, Requests
from tests.unit.coordinator.examples import TARGET
from tests.unit.coordinator.vaults import equip, member

FAR = datetime(2099, 1, 1, tzinfo=UTC)


class PatientClock(VirtualClock):
    """A clock that only tests move on: who sleeps, sleeps for good."""

    @override
    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.Event().wait()


@dataclass
class Served:
    vault: Vault
    host_id: HostId
    requests: Requests
    context: FakeContext
    task: asyncio.Task[None]

    async def next(self) -> session_pb2.SessionResponse:
        async with asyncio.timeout(5):
            return await self.context.written.get()

    async def ended(self) -> None:
        async with asyncio.timeout(5):
            await self.task

    async def settled(self) -> list[session_pb2.SessionResponse]:
        """Return what is sent before there is nothing left to do."""
        session: Any = self.vault.presence._sessions.get(self.host_id)
        async with asyncio.timeout(5):
            # Who delivers waits for the next time that it is woken.
            while session and (session.work_waiting.is_set() or not session.work_waiting._waiters):
                await asyncio.sleep(0)
        self.requests.send(heartbeat=session_pb2.Heartbeat(number=1))
        sent: list[session_pb2.SessionResponse] = []
        while not (message := await self.next()).HasField("heartbeat"):
            sent.append(message)
        return sent

    async def kinds(self) -> list[str | None]:
        """Return the kinds of what is sent before there is nothing left to do."""
        return [message.WhichOneof("message") for message in await self.settled()]


def hello(**more: Any) -> session_pb2.Hello:
    facts = types_pb2.HostFacts(name="b1", replication_address="b1:1")
    values: dict[str, Any] = {"facts": facts, "start_count": 1, "run_id": "run-1"}
    return session_pb2.Hello(**values | more)


@asynccontextmanager
async def serving(
    service: HostSessionService, caller: Caller, greeting: session_pb2.Hello | None
) -> AsyncIterator[Served]:
    """Serve one session; `greeting` None is a host that says nothing."""
    requests, context = Requests(), FakeContext()
    stream: Any = aiter(requests)
    served: Any = service._serve(caller, stream, context)  # type: ignore[arg-type]  # a fake
    task = asyncio.create_task(served)
    if greeting is not None:
        requests.send(hello=greeting)
    try:
        yield Served(service._vault, HostId(caller.name), requests, context, task)
    finally:
        task.cancel()
        await asyncio.wait([task])
        await stream.aclose()


@asynccontextmanager
async def welcomed(
    vault: Vault, caller: Caller, **more: Any
) -> AsyncIterator[tuple[Served, session_pb2.Welcome]]:
    """Serve a session up to the vault's welcome."""
    async with serving(HostSessionService(vault), caller, hello(**more)) as served:
        yield served, (await served.next()).welcome


async def equipped(vault: Vault) -> Caller:
    """Register both hosts with all they need; return whom the target's certificate proves."""
    await equip(vault)
    return await member(vault, TARGET.id)
