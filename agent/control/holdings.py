"""The protections and test failovers of this host, as its own files tell: what a restored vault learns from."""

from collections.abc import Awaitable, Callable, Iterable

from agent.failover.records import RehearsalRecord
from agent.replica.replica import Replica
from agent.source.assignment import Assignment
from agent.source.grants import HeldGrant
from replikera.wire.v1 import session_pb2, types_pb2


class Holdings:
    """What is said of them in every Hello."""

    def __init__(
        self,
        sources: Callable[[], Iterable[tuple[Assignment, HeldGrant]]],
        replicas: Callable[[], Iterable[Replica]],
        machine_name: Callable[[str], str],
        rehearsals: Callable[[], Awaitable[Iterable[RehearsalRecord]]],
    ) -> None:
        """`machine_name` knows the machines of this host by id, and answers "" for the others."""
        self._sources = sources
        self._replicas = replicas
        self._machine_name = machine_name
        self._rehearsals = rehearsals

    def protections(self) -> list[session_pb2.HeldProtection]:
        """Return one message for each side that this host has of a protection."""
        sources = [self._source(assignment, grant) for assignment, grant in self._sources()]
        return [*sources, *(_target(replica) for replica in self._replicas())]

    async def rehearsals(self) -> list[session_pb2.HeldRehearsal]:
        """Return one message for each test failover that is not cleaned up here."""
        return [_rehearsal(record) for record in await self._rehearsals()]

    def _source(self, assignment: Assignment, grant: HeldGrant) -> session_pb2.HeldProtection:
        return session_pb2.HeldProtection(
            protection_id=assignment.protection_id,
            epoch=types_pb2.Epoch(number=assignment.epoch, generation=assignment.generation),
            is_source=True,
            machine_id=assignment.machine_id,
            machine_name=self._machine_name(assignment.machine_id),
            peer_host_id=assignment.target_host_id,
            grant_version=grant.version,
        )


def _target(replica: Replica) -> session_pb2.HeldProtection:
    accepted = replica.accepted
    return session_pb2.HeldProtection(
        protection_id=accepted.protection_id,
        epoch=types_pb2.Epoch(number=accepted.epoch, generation=accepted.generation),
        is_source=False,
        machine_id=accepted.machine_id,
        machine_name=accepted.machine_name,
        peer_host_id=accepted.source_host_id,
        grant_version=replica.grant_version,
    )


def _rehearsal(record: RehearsalRecord) -> session_pb2.HeldRehearsal:
    return session_pb2.HeldRehearsal(
        rehearsal_id=record.rehearsal_id,
        protection_id=record.protection_id,
        generation=record.generation,
        sequence=record.sequence,
        machine_name=record.machine_name,
    )
