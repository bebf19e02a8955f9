"""Which hosts are connected now, and what their sessions are told."""

import asyncio
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from coordinator.domain.identifiers import HostId
from coordinator.domain.orders import Order
from replikera.ports.clock import Clock

SILENCE_SECONDS = 15.0
"""Three heartbeats: a host that said nothing for so long counts as disconnected, whatever its connection says."""


class EndReason(StrEnum):
    """Why a session has to end from this side."""

    REPLACED = "replaced"
    STOPPING = "stopping"


class HostSession:
    """One live session of a host."""

    def __init__(self, host_id: HostId, clock: Clock) -> None:
        self.host_id = host_id
        self.orders_waiting = asyncio.Event()
        self.orders_waiting.set()
        self.ended = asyncio.Event()
        self.end_reason: EndReason | None = None
        self._clock = clock
        self.heard()

    def heard(self) -> None:
        """Note that the host said something."""
        self.last_seen_at = self._clock.now()
        self._heard_at = self._clock.monotonic()

    def end(self, reason: EndReason) -> None:
        """Ask whoever serves the session to end it; the first reason counts."""
        if self.end_reason is None:
            self.end_reason = reason
            self.ended.set()

    @property
    def is_alive(self) -> bool:
        """Tell whether the host was heard lately."""
        return self._clock.monotonic() - self._heard_at < SILENCE_SECONDS


class Presence:
    """The live session of every connected host; one a host."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: dict[HostId, HostSession] = {}

    def begin(self, host_id: HostId) -> HostSession:
        """Return a new session; the one that the host had is told to end."""
        before = self._sessions.get(host_id)
        if before is not None:
            before.end(EndReason.REPLACED)
        session = HostSession(host_id, self._clock)
        self._sessions[host_id] = session
        return session

    def end(self, session: HostSession) -> None:
        """Forget a session; a newer one of the same host stays."""
        if self._sessions.get(session.host_id) is session:
            del self._sessions[session.host_id]

    def is_connected(self, host_id: HostId) -> bool:
        """Tell whether the host has a session and was heard lately."""
        session = self._sessions.get(host_id)
        return session is not None and session.is_alive

    def last_seen_at(self, host_id: HostId) -> datetime | None:
        """Return when a host with a session was heard last, None for one without."""
        session = self._sessions.get(host_id)
        return session.last_seen_at if session is not None else None

    def announce(self, orders: Iterable[Order]) -> None:
        """Wake the sessions of hosts that have new orders in the store."""
        for order in orders:
            session = self._sessions.get(order.host_id)
            if session is not None and order.outcome is None:
                session.orders_waiting.set()

    def stop(self) -> None:
        """Tell every session that the coordinator is about to stop."""
        for session in self._sessions.values():
            session.end(EndReason.STOPPING)
