import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from typing_extensions import override

from coordinator.orchestration.protections import enable_protection
from coordinator.orchestration.vault import Vault
from coordinator.rpc import session as module
from coordinator.rpc.errors import StatusError
from coordinator.rpc.session import HostSessionService
from replikera.identity import Caller, Role
from replikera.wire.v1 import orders_pb2, session_pb2, types_pb2
from tests.support.virtual_clock import VirtualClock
from tests.unit.coordinator.calls import FakeContext, Requests
from tests.unit.coordinator.examples import TARGET
from tests.unit.coordinator.vaults import equip, open_orders, opened

FAR = datetime(2099, 1, 1, tzinfo=UTC)


class PatientClock(VirtualClock):
    """A clock on which nobody's certificate expires."""

    @override
    async def sleep(self, seconds: float) -> None:
        del seconds
        await asyncio.Event().wait()


@pytest.fixture
def clock() -> VirtualClock:
    return PatientClock()


@dataclass
class Served:
    requests: Requests
    context: FakeContext
    task: asyncio.Task[None]

    async def next(self) -> session_pb2.SessionResponse:
        async with asyncio.timeout(5):
            return await self.context.written.get()

    async def ended(self) -> None:
        async with asyncio.timeout(5):
            await self.task

    async def settled(self) -> list[str | None]:
        """Return what was sent before the answer to a heartbeat."""
        self.requests.send(heartbeat=session_pb2.Heartbeat(number=1))
        sent: list[str | None] = []
        while not (message := await self.next()).HasField("heartbeat"):
            sent.append(message.WhichOneof("message"))
        return sent


@asynccontextmanager
async def serving(
    service: HostSessionService, *, not_after: datetime = FAR, greets: bool = True
) -> AsyncIterator[Served]:
    requests, context = Requests(), FakeContext()
    caller = Caller(Role.HOST, TARGET.id, "v", 1, not_after)
    stream: Any = aiter(requests)
    served: Any = service._serve(caller, stream, context)  # type: ignore[arg-type]  # a fake
    task = asyncio.create_task(served)
    if greets:
        facts = types_pb2.HostFacts(replication_address="b1:1")
        requests.send(hello=session_pb2.Hello(facts=facts))
    try:
        yield Served(requests, context, task)
    finally:
        task.cancel()
        await asyncio.wait([task])
        await stream.aclose()


async def test_orders_are_sent_once_a_session_oldest_first_and_when_new_ones_come(
    vault: Vault,
) -> None:
    await equip(vault)
    service = HostSessionService(vault)
    async with serving(service) as served:
        assert (await served.next()).welcome.host_id == TARGET.id
        await served.settled()
        job = await enable_protection(vault, "web", "b1", "quick")
        order = (await served.next()).order
        assert order.job_id == job.id
        session = vault.presence._sessions[TARGET.id]
        session.orders_waiting.set()
        while session.orders_waiting.is_set():
            await asyncio.sleep(0)
        await vault.store._idle.wait()  # the orders were looked up again
        assert await served.settled() == []
    async with serving(service) as again:
        assert (await again.next()).HasField("welcome")
        assert (await again.next()).order == order
        again.requests.send(
            outcome=orders_pb2.OrderOutcome(order_id=order.order_id, done=orders_pb2.Done())
        )
        assert (await again.next()).outcome_accepted.order_id == order.order_id
    assert await open_orders(vault, TARGET.id) == ()


async def test_a_host_that_leaves_is_not_connected_any_more(vault: Vault) -> None:
    await equip(vault)
    service = HostSessionService(vault)
    async with serving(service) as served:
        await served.settled()
        assert vault.presence.is_connected(TARGET.id)
        served.requests.end()
        await served.ended()
    assert not vault.presence.is_connected(TARGET.id)
    await asyncio.wait_for(service.finished(), 5)


async def test_a_listener_that_stops_waits_for_what_a_cancelled_session_still_writes(
    vault: Vault,
) -> None:
    await equip(vault)
    service = HostSessionService(vault)
    async with serving(service) as served:
        await served.settled()
        async with vault.store.write():
            served.task.cancel()
            finished = asyncio.create_task(service.finished())
            await asyncio.wait([finished], timeout=0.05)
            assert not finished.done()
        await asyncio.wait_for(finished, 5)
        with pytest.raises(asyncio.CancelledError):
            await served.task


async def test_a_host_that_cannot_be_written_to_is_gone(vault: Vault) -> None:
    await equip(vault)
    async with serving(HostSessionService(vault)) as served:
        await served.settled()
        served.context.is_broken = True
        served.requests.send(heartbeat=session_pb2.Heartbeat(number=2))
        await served.ended()


async def test_a_host_that_does_not_read_is_gone(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    await equip(vault)
    monkeypatch.setattr(module, "WRITE_SECONDS", 0.05)
    async with serving(HostSessionService(vault)) as served:
        await served.settled()
        monkeypatch.setattr(served.context, "write", lambda _message: asyncio.Event().wait())
        served.requests.send(heartbeat=session_pb2.Heartbeat(number=2))
        await served.ended()


async def test_a_session_without_a_hello_is_refused(vault: Vault) -> None:
    await equip(vault)
    async with serving(HostSessionService(vault), greets=False) as served:
        served.requests.end()
        with pytest.raises(StatusError, match="no-hello"):
            await served.ended()


async def test_the_database_failing_ends_the_session_for_another_try(vault: Vault) -> None:
    await equip(vault)
    async with serving(HostSessionService(vault)) as served:
        await served.settled()
        await vault.store.close()
        served.requests.send(inventory=session_pb2.Inventory())
        with pytest.raises(StatusError) as caught:
            await served.ended()
    assert caught.value.status is grpc.StatusCode.UNAVAILABLE


async def test_an_expired_certificate_ends_its_session(tmp_path: Path) -> None:
    async with opened(tmp_path, VirtualClock()) as vault:
        await equip(vault)
        soon = vault.clock.now()
        async with serving(HostSessionService(vault), not_after=soon) as served:
            with pytest.raises(StatusError) as caught:
                await served.ended()
    assert caught.value.status is grpc.StatusCode.UNAUTHENTICATED


async def test_what_a_host_says_wrongly_is_logged_once_and_not_without_end(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    await equip(vault)
    lines: list[str] = []
    monkeypatch.setattr(module.log, "warning", lambda event, **_facts: lines.append(event))
    async with serving(HostSessionService(vault)) as served:
        for _ in range(3):
            for at in range(module.MAX_REFUSALS_LOGGED + 5):
                served.requests.send(progress=orders_pb2.OrderProgress(order_id=f"not mine {at}"))
        await served.settled()
    assert lines == ["host message refused"] * module.MAX_REFUSALS_LOGGED
