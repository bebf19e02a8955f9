from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agent.control.backlog import Backlog
from agent.control.replica_reports import ReplicaReports
from agent.grants import GrantRefusedError
from agent.replica.accepted import AcceptedReplica
from agent.replica.errors import ReplicaError
from agent.replica.replica import PointsChanged
from agent.replica.store import ReplicaStore
from replikera.system.randomness import SystemRandomness
from replikera.wire.v1 import session_pb2
from tests.support.grants import GrantOffice, terms
from tests.unit.agent.fakes import AutoClock, FusedFiles, InlineWorker, sealed_point

GENERATION = "44444444-0000-4000-8000-000000000004"
ACCEPTED = AcceptedReplica(
    "33333333-0000-4000-8000-000000000003", 1, GENERATION, "s", "m", "web01", timedelta(hours=1)
)


OFFICE = GrantOffice(terms(ACCEPTED.protection_id, GENERATION, "s", "t"))
READER = OFFICE.reader("t", AutoClock())


def store_in(folder: Path) -> ReplicaStore:
    return ReplicaStore(
        FusedFiles(), InlineWorker(), AutoClock(), SystemRandomness(), folder / "replicas"
    )


def pages(backlog: Backlog) -> list[session_pb2.RecoveryPointReport]:
    found = [message.points for message in backlog.take(0) if message.HasField("points")]
    for page in found:
        backlog.points.accepted(page.number)
    return found


async def test_accepted_replica_is_reported_from_now_on(tmp_path: Path) -> None:
    store, backlog = store_in(tmp_path), Backlog()
    await ReplicaReports(store, READER, backlog).accept(ACCEPTED, b"")
    (page,) = pages(backlog)
    assert (page.protection_id, page.generation) == (ACCEPTED.protection_id, GENERATION)
    assert page.is_complete


async def test_replica_of_an_earlier_run_is_reported(tmp_path: Path) -> None:
    await store_in(tmp_path).accept(ACCEPTED)
    store, backlog = store_in(tmp_path), Backlog()
    await store.open()
    ReplicaReports(store, READER, backlog).watch_all()
    assert [page.protection_id for page in pages(backlog)] == [ACCEPTED.protection_id]


async def test_replica_accepted_twice_is_watched_once(tmp_path: Path) -> None:
    store, backlog = store_in(tmp_path), Backlog()
    reports = ReplicaReports(store, READER, backlog)
    for _ in range(2):
        await reports.accept(ACCEPTED, b"")
    assert len(store.get(ACCEPTED.protection_id)._subscribers) == 1
    assert len(pages(backlog)) == 1
    assert pages(backlog) == []


async def test_new_points_ring_at_once(tmp_path: Path) -> None:
    store, backlog = store_in(tmp_path), Backlog()
    await ReplicaReports(store, READER, backlog).accept(ACCEPTED, b"")
    pages(backlog)
    rings: list[int] = []
    backlog.on_urgent = lambda: rings.append(1)
    (callback,) = store.get(ACCEPTED.protection_id)._subscribers
    callback(PointsChanged((sealed_point(1, GENERATION),), (0,)))
    assert rings == [1]
    (page,) = pages(backlog)
    assert [point.sequence for point in page.points] == [1]
    assert list(page.released) == [0]


async def test_refused_replica_is_not_reported(tmp_path: Path) -> None:
    store, backlog = store_in(tmp_path), Backlog()
    reports = ReplicaReports(store, READER, backlog)
    await reports.accept(ACCEPTED, b"")
    pages(backlog)
    with pytest.raises(ReplicaError):
        await reports.accept(replace(ACCEPTED, source_host_id="somebody else"), b"")
    assert pages(backlog) == []


async def test_version_of_the_ordered_grant_is_noted(tmp_path: Path) -> None:
    store, backlog = store_in(tmp_path), Backlog()
    await ReplicaReports(store, READER, backlog).accept(ACCEPTED, OFFICE.grant(version=4))
    assert store.get(ACCEPTED.protection_id).grant_version == 4
    again = store_in(tmp_path)
    await again.open()
    assert again.get(ACCEPTED.protection_id).grant_version == 4


async def test_replica_with_a_grant_of_something_else_is_not_accepted(tmp_path: Path) -> None:
    store, backlog = store_in(tmp_path), Backlog()
    with pytest.raises(GrantRefusedError, match="target host id is x, not t") as raised:
        await ReplicaReports(store, READER, backlog).accept(
            ACCEPTED, OFFICE.grant(target_host_id="x")
        )
    assert raised.value.code == "grant-invalid"
    assert store.all() == ()
