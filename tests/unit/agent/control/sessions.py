"""A host's session over a folder, with the vault's end played by the test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent.control.anchor import ControlAnchor
from agent.control.backlog import Backlog
from agent.control.deny_lists import DenyLists
from agent.control.duties import Duties
from agent.control.holdings import Holdings
from agent.control.introduction import Introduction
from agent.control.ledger import OrderLedger
from agent.control.orders import Orders, Progress
from agent.control.run import Run
from agent.control.session import Session
from agent.failover.records import RehearsalRecord
from agent.grants import GrantRefusedError
from replikera.denials import Denials
from replikera.ports.streams import StreamClosedError
from replikera.wire.v1 import orders_pb2, session_pb2, types_pb2
from tests.support.authority import VAULT_ID
from tests.support.grants import GrantOffice, terms
from tests.unit.agent.fakes import FusedFiles, InlineWorker, ManualClock, settle

A = "aaaaaaaa-0000-4000-8000-000000000001"
FACTS = types_pb2.HostFacts(name="a-host")
Response = session_pb2.SessionResponse


def digest(version: int) -> bytes:
    """Return the digest of the test's vault at a version of its history."""
    return bytes([version]) * 32


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

    async def welcome(self, version: int = 1, *, is_reconciling: bool = False) -> None:
        welcome = session_pb2.Welcome(
            host_id="h",
            control_version=version,
            control_digest=digest(version),
            is_reconciling=is_reconciling,
        )
        await self.say(Response(welcome=welcome))

    async def order(self, version: int = 1) -> None:
        order = orders_pb2.Order(
            order_id=A,
            control_version=version,
            control_digest=digest(version),
            accept_replica=orders_pb2.AcceptReplica(),
        )
        await self.say(Response(order=order))

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
    """One host's session over a folder; its handler only counts."""

    def __init__(self, folder: Path) -> None:
        self.vault = Vault()
        self.clock = ManualClock()
        self.backlog = Backlog()
        self.randomness = Longest()
        self.handled = 0
        self.office = GrantOffice(terms(A, A, "h", "t"))
        self.grants: list[tuple[str, bytes]] = []
        self.grant_error: GrantRefusedError | None = None
        self.rehearsals: tuple[RehearsalRecord, ...] = ()
        files, worker = FusedFiles(), InlineWorker()
        self.ledger = OrderLedger(files, worker, self.clock, folder / "orders")
        self.anchor = ControlAnchor(files, worker, folder / "control.json")
        self.orders = Orders(self.ledger, self.handle, self.backlog, self.clock)
        self.denials = Denials()
        self.deny_lists = DenyLists(
            files,
            worker,
            self.clock,
            folder / "deny-list",
            self.denials,
            vault_id=VAULT_ID,
            root_certificate=self.office.authority.root_pem,
        )
        self.duties = Duties(self.anchor, self.orders, self.deny_lists, self.take_grant)
        self.session = Session(
            self.vault,
            Introduction(
                FACTS,
                Run(7, "r"),
                self.anchor,
                self.deny_lists,
                Holdings(lambda: (), lambda: (), lambda _machine_id: "", self.held),
            ),
            self.duties,
            self.backlog,
            host_id="h",
            anchor=self.anchor,
            clock=self.clock,
            randomness=self.randomness,
        )

    async def held(self) -> tuple[RehearsalRecord, ...]:
        return self.rehearsals

    async def handle(self, order: orders_pb2.Order, progress: Progress) -> orders_pb2.OrderOutcome:
        self.handled += 1
        progress("step one")
        return orders_pb2.OrderOutcome(order_id=order.order_id, done=orders_pb2.Done())

    async def take_grant(self, protection_id: str, signed: bytes) -> None:
        if self.grant_error is not None:
            raise self.grant_error
        self.grants.append((protection_id, signed))

    async def open(self) -> None:
        await self.ledger.open()
        await self.anchor.open()
        await self.deny_lists.open()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Vault]:
        await self.open()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.session.run()), group.create_task(self.orders.run())]
            await settle()
            yield self.vault
            for task in tasks:
                task.cancel()
