"""Which hosts are connected now, and what their sessions are told."""

import asyncio
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from coordinator.domain.hosts import Contact
from coordinator.domain.identifiers import HostId, ProtectionId
from coordinator.domain.orders import Order
from replikera.ports.clock import Clock

SILENCE_SECONDS = 15.0
"""Three heartbeats: a host that said nothing for so long counts as disconnected, whatever its connection says."""


class EndReason(StrEnum):
    """Why a session has to end from this side."""

    REPLACED = "replaced"
    STOPPING = "stopping"
    RECALLED = "recalled"
    """The vault begins to reconcile, or has ended it: the host is to say anew what it knows, or to hear what holds."""

    EXPIRED = "expired"
    DENIED = "denied"
    """The host is quarantined, revoked or retired, or its certificate is denied."""


class HostSession:
    """One live session of a host. `deny_list_version` is what the host has made durable.

    `told` are the protections of whose points it has told.
    """

    def __init__(self, host_id: HostId, clock: Clock, deny_list_version: int = 0) -> None:
        self.host_id = host_id
        self.deny_list_version = deny_list_version
        self.work_waiting = asyncio.Event()
        self.work_waiting.set()
        self.ended = asyncio.Event()
        self.end_reason: EndReason | None = None
        self.told: set[ProtectionId] = set()
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

    def note_end(self, reason: EndReason) -> None:
        """Note why whoever serves the session ends it by itself."""
        self.end_reason = self.end_reason or reason

    @property
    def contact(self) -> Contact:
        """Return what is kept of the session."""
        return Contact(self.host_id, self.last_seen_at, self.deny_list_version)

    @property
    def is_alive(self) -> bool:
        """Tell whether the host was heard lately."""
        return self._clock.monotonic() - self._heard_at < SILENCE_SECONDS


class Presence:
    """The live session of every connected host, one a host; and the last contact with those that have left."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: dict[HostId, HostSession] = {}
        self._left: dict[HostId, Contact] = {}
        self._kept: dict[HostId, Contact] = {}

    def begin(self, host_id: HostId, deny_list_version: int = 0) -> HostSession:
        """Return a new session; the one that the host had is told to end."""
        before = self._sessions.get(host_id)
        if before is not None:
            before.end(EndReason.REPLACED)
        session = HostSession(host_id, self._clock, deny_list_version)
        self._sessions[host_id] = session
        return session

    def end(self, session: HostSession) -> None:
        """Forget a session but for when it was; a newer one of the same host stays."""
        if self._sessions.get(session.host_id) is session:
            del self._sessions[session.host_id]
            self._left[session.host_id] = session.contact

    def note_told(self, host_id: HostId, protection_id: ProtectionId) -> None:
        """Note that a target has told of its points in its present session."""
        session = self._sessions.get(host_id)
        if session is not None:
            session.told.add(protection_id)

    def has_told(self, host_id: HostId, protection_id: ProtectionId) -> bool:
        """Tell whether a target has told of a protection's points since it connected."""
        session = self._sessions.get(host_id)
        return session is not None and protection_id in session.told

    def is_connected(self, host_id: HostId) -> bool:
        """Tell whether the host has a session and was heard lately."""
        session = self._sessions.get(host_id)
        return session is not None and session.is_alive

    def contact(self, host_id: HostId) -> Contact | None:
        """Return the last contact with a host, None where the store knows it already, or there was none."""
        session = self._sessions.get(host_id)
        return session.contact if session is not None else self._left.get(host_id)

    def last_seen_at(self, host_id: HostId) -> datetime | None:
        """Return when a host was heard last, None where the store knows it already, or it never was."""
        contact = self.contact(host_id)
        return contact.seen_at if contact is not None else None

    def contacts(self) -> tuple[Contact, ...]:
        """Return the last contact with every host, where it differs from what was kept."""
        present = {host_id: session.contact for host_id, session in self._sessions.items()}
        newest = self._left | present
        return tuple(item for host_id, item in newest.items() if self._kept.get(host_id) != item)

    def kept(self, contacts: Iterable[Contact]) -> None:
        """Note that the store has these; what is known of hosts that have left is forgotten."""
        for contact in contacts:
            self._kept[contact.host_id] = contact
            if self._left.get(contact.host_id) == contact:
                del self._left[contact.host_id]
        for host_id in self._kept.keys() - self._sessions.keys() - self._left.keys():
            del self._kept[host_id]

    def announce(self, orders: Iterable[Order]) -> None:
        """Wake the sessions of hosts that have new orders in the store."""
        self.wake(order.host_id for order in orders if order.outcome is None)

    def wake(self, host_ids: Iterable[HostId]) -> None:
        """Have the sessions of these hosts look for what there is to send."""
        for host_id in host_ids:
            session = self._sessions.get(host_id)
            if session is not None:
                session.work_waiting.set()

    def wake_all(self) -> None:
        """Have all sessions look for what there is to send."""
        self.wake(tuple(self._sessions))

    def stop(self) -> None:
        """Tell every session that the coordinator is about to stop."""
        for session in self._sessions.values():
            session.end(EndReason.STOPPING)

    def drain(self) -> None:
        """Have every connected host dial again."""
        for session in self._sessions.values():
            session.end(EndReason.RECALLED)
