import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.control.backlog import Backlog
from agent.control.control_version import ControlVersion
from agent.control.conversation import ANSWER_SECONDS, HEARTBEAT_SECONDS
from agent.control.ledger import OrderLedger
from agent.control.orders import Orders, Progress
from agent.control.session import MAX_BACKOFF_SECONDS, MIN_BACKOFF_SECONDS, Session
from replikera.ports.streams import StreamClosedError
from replikera.wire.v1 import orders_pb2, session_pb2, types_pb2
from tests.unit.agent.fakes import FusedFiles, InlineWorker, ManualClock, sealed_point, settle

A = "aaaaaaaa-0000-4000-8000-000000000001"
FACTS = types_pb2.HostFacts(name="a-host")
Response = session_pb2.SessionResponse


class ScriptedStream:
    """The vault's end of one conversation, played by the test."""

    def __init__(self) -> None:
        self.sent: list[session_pb2.SessionRequest] = []
        self._coming: asyncio.Queue[Response | None] = asyncio.Queue()
        self.is_closed = False
        self.is_broken = False
        self.breaks_at_cancellation = False

    async def send(self, message: session_pb2.SessionRequest) -> None:
        if self.is_broken:
            raise StreamClosedError("the network broke")
        self.sent.append(message)

    async def receive(self) -> Response:
        try:
            message = await self._coming.get()
        except asyncio.CancelledError:
            if self.breaks_at_cancellation:
                raise StreamClosedError("the network broke in the same moment") from None
            raise
        if message is None:
            raise StreamClosedError("the vault ended the session")
        return message

    async def close(self) -> None:
        self.is_closed = True

    async def say(self, message: Response | None) -> None:
        self._coming.put_nowait(message)
        await settle()

    async def welcome(self, version: int = 1) -> None:
        await self.say(Response(welcome=session_pb2.Welcome(host_id="h", control_version=version)))

    async def order(self) -> None:
        action = orders_pb2.AcceptReplica()
        await self.say(Response(order=orders_pb2.Order(order_id=A, accept_replica=action)))

    async def accept(self, order_id: str) -> None:
        await self.say(Response(outcome_accepted=session_pb2.OutcomeAccepted(order_id=order_id)))

    def kinds(self) -> list[str | None]:
        return [message.WhichOneof("message") for message in self.sent]


class Vault:
    """Gives out streams, or refuses to be reached."""

    def __init__(self) -> None:
        self.streams: list[ScriptedStream] = []
        self.is_reachable = True

    def dial(self) -> ScriptedStream:
        stream = ScriptedStream()
        stream.is_broken = not self.is_reachable
        self.streams.append(stream)
        return stream

    @property
    def stream(self) -> ScriptedStream:
        return self.streams[-1]


class Longest:
    """Draws the highest number, and notes the bounds."""

    def __init__(self) -> None:
        self.drawn: list[tuple[float, float]] = []

    def uniform(self, low: float, high: float) -> float:
        self.drawn.append((low, high))
        return high

    def bytes(self, count: int) -> bytes:
        raise AssertionError

    def uuid(self) -> str:
        raise AssertionError


class Host:
    def __init__(self, folder: Path) -> None:
        self.vault = Vault()
        self.clock = ManualClock()
        self.backlog = Backlog()
        self.randomness = Longest()
        self.handled = 0
        self.on_handle: Callable[[], None] = lambda: None
        files, worker = FusedFiles(), InlineWorker()
        self.ledger = OrderLedger(files, worker, self.clock, folder / "orders")
        self.version = ControlVersion(files, worker, folder / "control.json")
        self.orders = Orders(self.ledger, self.handle, self.backlog, self.clock)

    async def handle(self, order: orders_pb2.Order, progress: Progress) -> orders_pb2.OrderOutcome:
        self.handled += 1
        progress("step one")
        return orders_pb2.OrderOutcome(order_id=order.order_id, done=orders_pb2.Done())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Vault]:
        await self.ledger.open()
        await self.version.open()
        session = Session(
            self.vault,
            self.orders,
            self.backlog,
            host_id="h",
            facts=FACTS,
            version=self.version,
            clock=self.clock,
            randomness=self.randomness,
        )
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(session.run()), group.create_task(self.orders.run())]
            await settle()
            yield self.vault
            for task in tasks:
                task.cancel()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


async def test_session_begins_with_hello_and_waits_for_the_welcome(host: Host) -> None:
    async with host.running() as vault:
        await host.clock.advance(1)
        assert vault.stream.kinds() == ["hello"]
        assert vault.stream.sent[0].hello.facts == FACTS
        await vault.stream.welcome()
        assert vault.stream.kinds() == ["hello", "heartbeat"]


async def test_order_comes_down_and_its_outcome_goes_up_until_accepted(host: Host) -> None:
    async with host.running() as vault:
        await vault.stream.welcome()
        await vault.stream.order()
        assert vault.stream.kinds()[2:] in (["outcome"], ["progress", "outcome"])
        await vault.stream.accept(A)
        assert host.ledger.unaccepted() == ()
    assert host.handled == 1


async def test_outcome_is_sent_again_in_the_next_session_until_accepted(host: Host) -> None:
    async with host.running() as vault:
        await vault.stream.welcome()
        await vault.stream.order()
        await vault.stream.say(None)
        await host.clock.advance(MAX_BACKOFF_SECONDS)
        assert len(vault.streams) == 2
        await vault.stream.welcome()
        assert vault.stream.kinds() == ["hello", "outcome", "heartbeat"]
        await vault.stream.accept(A)
        await vault.stream.say(None)
        await host.clock.advance(MAX_BACKOFF_SECONDS)
        await vault.stream.welcome()
        assert "outcome" not in vault.stream.kinds()
    assert host.handled == 1


async def test_order_finished_between_sessions_is_answered_in_the_next(host: Host) -> None:
    async with host.running() as vault:
        await vault.stream.welcome()
        vault.stream.is_broken = True
        await vault.stream.order()
        assert vault.streams[0].is_closed
        await host.clock.advance(MAX_BACKOFF_SECONDS)
        await vault.stream.welcome()
        assert vault.stream.kinds()[1] == "outcome"
    assert host.handled == 1


async def test_heartbeats_keep_coming_while_the_vault_answers(host: Host) -> None:
    async with host.running() as vault:
        await vault.stream.welcome()
        for number in range(1, 5):
            answer = session_pb2.HeartbeatAnswer(number=number)
            await vault.stream.say(Response(heartbeat=answer))
            await host.clock.advance(HEARTBEAT_SECONDS)
        numbers = [m.heartbeat.number for m in vault.stream.sent if m.HasField("heartbeat")]
        assert numbers == [1, 2, 3, 4, 5]
        assert len(vault.streams) == 1


async def test_hung_vault_is_left_and_dialled_again(host: Host) -> None:
    async with host.running() as vault:
        await vault.stream.welcome()
        await host.clock.advance(ANSWER_SECONDS + MAX_BACKOFF_SECONDS)
        assert vault.streams[0].is_closed
        assert len(vault.streams) == 2


async def test_draining_vault_is_left_and_dialled_again(host: Host) -> None:
    async with host.running() as vault:
        await vault.stream.welcome()
        await vault.stream.say(Response(drain=session_pb2.Drain()))
        assert vault.streams[0].is_closed
        await host.clock.advance(MAX_BACKOFF_SECONDS)
        assert len(vault.streams) == 2


async def test_waiting_grows_up_to_its_bound_and_is_drawn_at_random(host: Host) -> None:
    host.vault.is_reachable = False
    async with host.running() as vault:
        await host.clock.advance(60)
        assert len(vault.streams) > 8
    lows = {low for low, _ in host.randomness.drawn}
    highs = [high for _, high in host.randomness.drawn]
    assert lows == {MIN_BACKOFF_SECONDS}
    assert highs[:3] == [0.4, 0.8, 1.6]
    assert highs[-1] == MAX_BACKOFF_SECONDS


async def test_session_that_lasted_is_followed_by_a_short_wait(host: Host) -> None:
    host.vault.is_reachable = False
    async with host.running() as vault:
        await host.clock.advance(30)
        host.vault.is_reachable = True
        await host.clock.advance(MAX_BACKOFF_SECONDS)
        await vault.stream.welcome()
        await host.clock.advance(12)
        await vault.stream.say(None)
    assert host.randomness.drawn[-1] == (MIN_BACKOFF_SECONDS, 0.4)


async def test_session_that_ended_at_once_is_followed_by_a_longer_wait(host: Host) -> None:
    async with host.running() as vault:
        for _ in range(4):
            await vault.stream.welcome()
            await vault.stream.say(None)
            await host.clock.advance(MAX_BACKOFF_SECONDS)
    assert [high for _, high in host.randomness.drawn] == [0.4, 0.8, 1.6, 3.2]


async def test_vault_behind_the_version_obeyed_is_not_obeyed(host: Host) -> None:
    async with host.running() as vault:
        await vault.stream.welcome(version=5)
        await vault.stream.say(None)
        await host.clock.advance(MAX_BACKOFF_SECONDS)
        assert vault.stream.sent[0].hello.control_version == 5
        stale = vault.stream
        await stale.welcome(version=4)
        assert stale.is_closed
        assert stale.kinds() == ["hello"]


async def test_version_obeyed_is_durable(host: Host, tmp_path: Path) -> None:
    async with host.running() as vault:
        await vault.stream.welcome(version=5)
    again = ControlVersion(FusedFiles(), InlineWorker(), tmp_path / "control.json")
    await again.open()
    assert again.number == 5


async def test_report_is_sent_at_once_when_it_is_urgent(host: Host) -> None:
    async with host.running() as vault:
        await vault.stream.welcome()
        host.backlog.report_inventory(session_pb2.Inventory(networks=[types_pb2.Network()]))
        await settle()
        assert vault.stream.kinds()[-1] == "inventory"


async def test_answered_page_of_points_is_followed_by_the_next_at_once(host: Host) -> None:
    for name in "pq":
        host.backlog.points.watch(name, "g", lambda: [sealed_point(1, "g")])
    async with host.running() as vault:
        await vault.stream.welcome()
        assert vault.stream.kinds().count("points") == 1
        number = next(m.points.number for m in vault.stream.sent if m.HasField("points"))
        answer = session_pb2.RecoveryPointsAccepted(number=number)
        await vault.stream.say(Response(points_accepted=answer))
        assert vault.stream.kinds().count("points") == 2


async def test_error_that_is_no_end_of_a_session_is_not_hidden(host: Host) -> None:
    def fail(number: int) -> None:
        raise ZeroDivisionError(number)

    host.backlog.points.accepted = fail  # type: ignore[method-assign]  # a bug of ours
    with pytest.raises(ExceptionGroup) as caught:
        async with host.running() as vault:
            await vault.stream.welcome()
            await vault.stream.say(Response(points_accepted=session_pb2.RecoveryPointsAccepted()))
    assert caught.value.subgroup(ZeroDivisionError) is not None


async def test_session_that_breaks_while_it_is_told_to_end_ends(host: Host) -> None:
    # Leaving `running` waits for the session: it would hang if the broken stream were all that it saw.
    async with asyncio.timeout(5), host.running() as vault:
        await vault.stream.welcome()
        vault.stream.breaks_at_cancellation = True
    assert len(vault.streams) == 1
