from datetime import timedelta
from pathlib import Path

from agent.control.holdings import Holdings
from agent.failover.records import RehearsalRecord, RehearsalState
from agent.replica.accepted import AcceptedReplica
from agent.replica.store import ReplicaStore
from agent.source.assignment import Assignment
from agent.source.grants import HeldGrant
from replikera.system.randomness import SystemRandomness
from replikera.wire.v1 import session_pb2, types_pb2
from tests.support.grants import GrantOffice, terms
from tests.support.storage_folders import folders_in
from tests.unit.agent.fakes import AutoClock, FusedFiles, InlineWorker

ONE = "33333333-0000-4000-8000-000000000001"
OTHER = "33333333-0000-4000-8000-000000000002"
GENERATION = "44444444-0000-4000-8000-000000000004"
EPOCH = types_pb2.Epoch(number=3, generation=GENERATION)


async def no_rehearsals() -> tuple[RehearsalRecord, ...]:
    return ()


async def test_both_sides_of_protections_are_told(tmp_path: Path) -> None:
    assignment = Assignment(ONE, 3, GENERATION, "m", "target", "b:1", timedelta(seconds=30))
    grant = HeldGrant(GrantOffice(terms(ONE, GENERATION, "s", "target")).grant(version=5))
    store = ReplicaStore(
        FusedFiles(), InlineWorker(), AutoClock(), SystemRandomness(), folders_in(tmp_path)
    )
    await store.accept(
        AcceptedReplica(OTHER, 3, GENERATION, "peer", "n", "mail", timedelta(hours=1))
    )
    await store.get(OTHER).note_grant(8)
    holdings = Holdings(
        lambda: [(assignment, grant)], store.all, {"m": "web"}.__getitem__, no_rehearsals
    )
    assert holdings.protections() == [
        session_pb2.HeldProtection(
            protection_id=ONE,
            epoch=EPOCH,
            is_source=True,
            machine_id="m",
            machine_name="web",
            peer_host_id="target",
            grant_version=5,
        ),
        session_pb2.HeldProtection(
            protection_id=OTHER,
            epoch=EPOCH,
            is_source=False,
            machine_id="n",
            machine_name="mail",
            peer_host_id="peer",
            grant_version=8,
        ),
    ]


async def test_test_failovers_are_told_by_their_records() -> None:
    record = RehearsalRecord(
        "r", "o", OTHER, GENERATION, 9, "mail - test", RehearsalState.STARTED, "2026"
    )

    async def rehearsals() -> tuple[RehearsalRecord, ...]:
        return (record,)

    holdings = Holdings(lambda: (), lambda: (), lambda _machine_id: "", rehearsals)
    assert await holdings.rehearsals() == [
        session_pb2.HeldRehearsal(
            rehearsal_id="r",
            protection_id=OTHER,
            generation=GENERATION,
            sequence=9,
            machine_name="mail - test",
        )
    ]
