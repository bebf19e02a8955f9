"""One conversation with the vault, as a machine without I/O: messages and time in, messages and deeds out.

Hello is the first message out, Welcome the first in; nothing else moves before both. A vault that answers for
another host, or that is behind a control version obeyed before, is not obeyed. A vault that does not answer
heartbeats counts as gone.
"""

from dataclasses import dataclass
from typing import TypeAlias

from agent.control.backlog import Backlog
from replikera.wire.v1 import orders_pb2, session_pb2, types_pb2

HEARTBEAT_SECONDS = 5.0
ANSWER_SECONDS = 15.0
"""How long the vault may be silent before it counts as gone: two heartbeats may be lost."""


class VaultNotObeyedError(Exception):
    """The peer is not the vault this host obeys, or no longer; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Obey:
    """The vault is ours, at this control version."""

    control_version: int


@dataclass(frozen=True, slots=True)
class CarryOut:
    """An order came."""

    order: orders_pb2.Order


@dataclass(frozen=True, slots=True)
class ForgetOutcome:
    """The vault has the outcome of this order."""

    order_id: str


@dataclass(frozen=True, slots=True)
class Leave:
    """The vault is about to stop."""


Deed: TypeAlias = Obey | CarryOut | ForgetOutcome | Leave


class Conversation:
    """The state of one conversation; its `backlog` outlives it."""

    def __init__(
        self, host_id: str, facts: types_pb2.HostFacts, control_version: int, backlog: Backlog
    ) -> None:
        self._host_id = host_id
        self._facts = facts
        self._control_version = control_version
        self._backlog = backlog
        self._is_welcome = False
        self._heartbeats = 0
        self._heartbeat_at = 0.0
        self._heard_at = 0.0

    def hello(self) -> session_pb2.SessionRequest:
        """Return the first message."""
        hello = session_pb2.Hello(facts=self._facts, control_version=self._control_version)
        return session_pb2.SessionRequest(hello=hello)

    def receive(self, message: session_pb2.SessionResponse, now: float) -> Deed | None:
        """Return what the message asks for. Raises `VaultNotObeyedError`."""
        self._heard_at = now
        kind = message.WhichOneof("message")
        if not self._is_welcome:
            return self._welcome(message.welcome if kind == "welcome" else None, now)
        match kind:
            case "order":
                return CarryOut(message.order)
            case "outcome_accepted":
                return ForgetOutcome(message.outcome_accepted.order_id)
            case "points_accepted":
                self._backlog.points.accepted(message.points_accepted.number)
            case "drain":
                return Leave()
            case "welcome":
                raise VaultNotObeyedError("the vault welcomed this host twice")
            case "heartbeat" | None:
                # A message that only a newer vault knows says nothing to this agent.
                pass
        return None

    def due(self, now: float) -> list[session_pb2.SessionRequest]:
        """Return what is to be sent now. Raises `VaultNotObeyedError` for a vault that fell silent."""
        if not self._is_welcome:
            return []
        if now - self._heard_at >= ANSWER_SECONDS:
            raise VaultNotObeyedError(f"the vault has not answered for {ANSWER_SECONDS:g} seconds")
        messages = self._backlog.take(now)
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + HEARTBEAT_SECONDS
            self._heartbeats += 1
            heartbeat = session_pb2.Heartbeat(number=self._heartbeats)
            messages.append(session_pb2.SessionRequest(heartbeat=heartbeat))
        return messages

    def _welcome(self, welcome: session_pb2.Welcome | None, now: float) -> Obey:
        if welcome is None:
            raise VaultNotObeyedError("the vault did not begin with Welcome")
        if welcome.host_id != self._host_id:
            raise VaultNotObeyedError(
                f"the vault takes this host for {welcome.host_id}, it is {self._host_id}: "
                "run replikera-agent join again"
            )
        if welcome.control_version < self._control_version:
            raise VaultNotObeyedError(
                f"the vault is at control version {welcome.control_version}, this host obeyed "
                f"{self._control_version}: the vault was restored from an old copy, restore a newer one"
            )
        self._is_welcome = True
        self._heartbeat_at = now
        self._backlog.restart()
        return Obey(welcome.control_version)
