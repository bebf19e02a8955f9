"""One conversation with the vault, as a machine without I/O: messages and time in, messages and deeds out.

Hello is the first message out, Welcome the first in; nothing else moves before both. A vault that answers for
another host, or that is behind a control state obeyed before, is not obeyed. One that reconciles is told what this
host knows, and not obeyed either: of what it sends only what its signature proves is taken. A vault that does not
answer heartbeats counts as gone.
"""

from dataclasses import dataclass
from typing import TypeAlias

from agent.control.anchor import ControlAnchor, VaultNotObeyedError
from agent.control.backlog import Backlog
from replikera.wire.v1 import orders_pb2, session_pb2

HEARTBEAT_SECONDS = 5.0
ANSWER_SECONDS = 15.0
"""How long the vault may be silent before it counts as gone: two heartbeats may be lost."""

MAX_REPLIES = 8
"""Answers that wait for the stream; a deny-list may have 1 MiB."""


@dataclass(frozen=True, slots=True)
class Obey:
    """The vault is ours, at this control state."""

    control_version: int
    control_digest: bytes


@dataclass(frozen=True, slots=True)
class CarryOut:
    """An order came."""

    order: orders_pb2.Order


@dataclass(frozen=True, slots=True)
class Withdraw:
    """An order is not to be begun."""

    order_id: str


@dataclass(frozen=True, slots=True)
class ForgetOutcome:
    """The vault has the outcome of this order."""

    order_id: str


@dataclass(frozen=True, slots=True)
class StoreDenyList:
    """A deny-list came, as it was signed."""

    signed: bytes


@dataclass(frozen=True, slots=True)
class ShowDenyList:
    """The vault asks for the deny-list that this host has."""


@dataclass(frozen=True, slots=True)
class PresentGrant:
    """A newer grant of a protection came, as it was signed."""

    protection_id: str
    signed: bytes


@dataclass(frozen=True, slots=True)
class Leave:
    """The vault wants its hosts to dial again."""


Deed: TypeAlias = (
    Obey | CarryOut | Withdraw | ForgetOutcome | StoreDenyList | ShowDenyList | PresentGrant | Leave
)


class Conversation:
    """The state of one conversation; `anchor` and `backlog` outlive it."""

    def __init__(
        self, host_id: str, hello: session_pb2.Hello, anchor: ControlAnchor, backlog: Backlog
    ) -> None:
        self._host_id = host_id
        self._hello = hello
        self._anchor = anchor
        self._backlog = backlog
        self._replies: list[session_pb2.SessionRequest] = []
        self._is_welcome = False
        self.is_reconciling = False
        self._heartbeats = 0
        self._heartbeat_at = 0.0
        self._heard_at = 0.0

    def hello(self) -> session_pb2.SessionRequest:
        """Return the first message."""
        return session_pb2.SessionRequest(hello=self._hello)

    def receive(self, message: session_pb2.SessionResponse, now: float) -> Deed | None:
        """Return what the message asks for. Raises `VaultNotObeyedError`."""
        self._heard_at = now
        kind = message.WhichOneof("message")
        if not self._is_welcome:
            return self._welcome(message.welcome if kind == "welcome" else None, now)
        match kind:
            case "points_accepted":
                self._backlog.points.accepted(message.points_accepted.number)
            case "welcome":
                raise VaultNotObeyedError("the vault welcomed this host twice")
            case "order" | "withdraw" | "grant":
                return None if self.is_reconciling else _command(message)
            case "outcome_accepted" | "deny_list" | "send_deny_list" | "drain":
                return _request(message)
            case "heartbeat" | None:
                # A message that only a newer vault knows says nothing to this agent.
                pass
        return None

    def reply(self, message: session_pb2.SessionRequest) -> None:
        """Send this next. Raises `VaultNotObeyedError` for a vault that asks and does not read."""
        if len(self._replies) == MAX_REPLIES:
            raise VaultNotObeyedError(f"the vault does not read {MAX_REPLIES} answers it asked for")
        self._replies.append(message)

    def due(self, now: float) -> list[session_pb2.SessionRequest]:
        """Return what is to be sent now. Raises `VaultNotObeyedError` for a vault that fell silent."""
        if not self._is_welcome:
            return []
        if now - self._heard_at >= ANSWER_SECONDS:
            raise VaultNotObeyedError(f"the vault has not answered for {ANSWER_SECONDS:g} seconds")
        messages, self._replies = self._replies + self._backlog.take(now), []
        if now >= self._heartbeat_at:
            self._heartbeat_at = now + HEARTBEAT_SECONDS
            self._heartbeats += 1
            heartbeat = session_pb2.Heartbeat(number=self._heartbeats)
            messages.append(session_pb2.SessionRequest(heartbeat=heartbeat))
        return messages

    def _welcome(self, welcome: session_pb2.Welcome | None, now: float) -> Obey | None:
        if welcome is None:
            raise VaultNotObeyedError("the vault did not begin with Welcome")
        if welcome.host_id != self._host_id:
            raise VaultNotObeyedError(
                f"the vault takes this host for {welcome.host_id}, it is {self._host_id}: "
                "run replikera-agent join again"
            )
        self.is_reconciling = welcome.is_reconciling
        if not self.is_reconciling:
            self._anchor.check(welcome.control_version, welcome.control_digest)
        self._is_welcome = True
        self._heartbeat_at = now
        self._backlog.restart()
        if self.is_reconciling:
            return None
        return Obey(welcome.control_version, welcome.control_digest)


def _command(message: session_pb2.SessionResponse) -> CarryOut | Withdraw | PresentGrant:
    """Return what the vault decided, which only a vault that is obeyed may say."""
    if message.HasField("order"):
        return CarryOut(message.order)
    if message.HasField("withdraw"):
        return Withdraw(message.withdraw.order_id)
    return PresentGrant(message.grant.protection_id, message.grant.grant)


def _request(
    message: session_pb2.SessionResponse,
) -> ForgetOutcome | StoreDenyList | ShowDenyList | Leave:
    """Return what a vault that reconciles may ask for too: it proves itself, or changes nothing."""
    if message.HasField("outcome_accepted"):
        return ForgetOutcome(message.outcome_accepted.order_id)
    if message.HasField("deny_list"):
        return StoreDenyList(message.deny_list.SerializeToString(deterministic=True))
    if message.HasField("send_deny_list"):
        return ShowDenyList()
    return Leave()
