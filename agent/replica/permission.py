"""What a source may do in one conversation, and until when: the grant that it presents."""

import asyncio
from typing import NoReturn

from agent.grants import GrantReader, GrantRefusedError, GrantTerms, expired, superseded
from agent.replica.accepted import AcceptedReplica
from agent.replica.errors import ReplicaError
from agent.replica.messages import GrantEnded, Incoming
from agent.replica.replica import Replica
from replikera.ports.clock import Clock
from replikera.trust.grant import Grant

LOOK_SECONDS = 60.0
"""The wall clock may be set: how often it is asked whether a grant has ended."""


def terms_of(accepted: AcceptedReplica, host_id: str) -> GrantTerms:
    """Return what a grant has to say for a replica on this host."""
    return GrantTerms(
        protection_id=accepted.protection_id,
        epoch=accepted.epoch,
        generation=accepted.generation,
        source_host_id=accepted.source_host_id,
        target_host_id=host_id,
    )


class Permission:
    """The newest grant of a conversation with the replica's source."""

    def __init__(self, replica: Replica, reader: GrantReader, clock: Clock, grant: Grant) -> None:
        self._replica = replica
        self._reader = reader
        self._clock = clock
        self._grant = grant

    async def renew(self, signed: bytes) -> None:
        """Go on under a grant that is presented. Raises `ReplicaError`."""
        self._grant = await admitted(self._replica, self._reader, signed)

    def check(self) -> None:
        """Let nothing happen after the end of the grant. Raises `ReplicaError`."""
        if self._reader.remaining_seconds(self._grant) <= 0:
            raise refusal(expired(self._grant))

    async def watch(self, incoming: "asyncio.Queue[Incoming]") -> NoReturn:
        """Put `GrantEnded` behind what has arrived, as soon as the grant has ended: a silent source is cut off too."""
        while True:
            remaining = self._reader.remaining_seconds(self._grant)
            if remaining <= 0:
                await incoming.put(GrantEnded())
                # A newer grant may have been in front of it.
                remaining = LOOK_SECONDS
            await self._clock.sleep(min(remaining, LOOK_SECONDS))


async def admitted(replica: Replica, reader: GrantReader, signed: bytes) -> Grant:
    """Return the grant if it permits to write the replica now; its version is durable then. Raises `ReplicaError`."""
    try:
        grant = reader.read(signed, terms_of(replica.accepted, reader.host_id))
        reader.check_time(grant)
        highest = await replica.note_grant(grant.version)
        if grant.version < highest:
            raise superseded(grant, highest)
    except GrantRefusedError as error:
        raise refusal(error) from error
    return grant


def refusal(error: GrantRefusedError) -> ReplicaError:
    """Return a grant's refusal as one of the replica."""
    return ReplicaError(error.code, error.cause, error.remedy)
