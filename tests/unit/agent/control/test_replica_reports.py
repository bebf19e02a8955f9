from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agent.control.backlog import Backlog
from agent.control.order_fields import PointName, ReplicaTerms
from agent.control.replica_reports import ReplicaReports
from agent.failover.outcome import RehearsalError
from agent.grants import GrantRefusedError
from agent.replica.accepted import AcceptedReplica
from agent.replica.announcements import PointsChanged
from agent.replica.errors import ReplicaError
from agent.replica.exporting import PointExporter
from agent.replica.store import ReplicaStore
from replikera.system.randomness import SystemRandomness
from replikera.wire.v1 import session_pb2
from tests.support.grants import GrantOffice, terms
from tests.support.storage_folders import folders_in
from tests.unit.agent.fakes import AutoClock, FusedFiles, InlineWorker, sealed_point

GENERATION = "44444444-0000-4000-8000-000000000004"
OTHER_GENERATION = "55555555-0000-4000-8000-000000000005"
ACCEPTED = AcceptedReplica(
    "33333333-0000-4000-8000-000000000003", 1, GENERATION, "s", "m", "web01", timedelta(hours=1)
)
TERMS = ReplicaTerms(ACCEPTED, grant=b"", storage_folder="")
POINT = PointName(ACCEPTED.protection_id, GENERATION, 1)

OFFICE = GrantOffice(terms(ACCEPTED.protection_id, GENERATION, "s", "t"))
READER = OFFICE.reader("t", AutoClock())


def store_in(folder: Path) -> ReplicaStore:
    return ReplicaStore(
        FusedFiles(), InlineWorker(), AutoClock(), SystemRandomness(), folders_in(folder)
    )


def reports_of(store: ReplicaStore, backlog: Backlog, *rehearsals: str) -> ReplicaReports:
    async def rehearsals_of(protection_id: str) -> tuple[str, ...]:
        assert protection_id == ACCEPTED.protection_id
        return rehearsals

    exporter = PointExporter(FusedFiles(), InlineWorker(), Path("exports"), {})
    return ReplicaReports(store, exporter, READER, backlog, rehearsals_of)


def pages(backlog: Backlog) -> list[session_pb2.RecoveryPointReport]:
    found = [message.points for message in backlog.take(0) if message.HasField("points")]
    for page in found:
        backlog.points.accepted(page.number)
    return found


async def test_accepted_replica_is_reported_from_now_on(tmp_path: Path) -> None:
    store, backlog = store_in(tmp_path), Backlog()
    await reports_of(store, backlog).accept(TERMS)
    (page,) = pages(backlog)
    assert (page.protection_id, page.generation) == (ACCEPTED.protection_id, GENERATION)
    assert page.covers_from == 1


async def test_folder_of_the_replica_is_answered(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    folder = tmp_path / "replicas" / ACCEPTED.protection_id
    assert await reports_of(store, Backlog()).accept(TERMS) == folder
    assert await reports_of(store, Backlog()).accept(TERMS) == folder


async def test_replica_of_an_earlier_run_is_reported(tmp_path: Path) -> None:
    await store_in(tmp_path).accept(ACCEPTED)
    store, backlog = store_in(tmp_path), Backlog()
    await store.open()
    reports_of(store, backlog).watch_all()
    assert [page.protection_id for page in pages(backlog)] == [ACCEPTED.protection_id]


async def test_replica_accepted_twice_is_watched_once(tmp_path: Path) -> None:
    store, backlog = store_in(tmp_path), Backlog()
    reports = reports_of(store, backlog)
    for _ in range(2):
        await reports.accept(TERMS)
    assert len(store.get(ACCEPTED.protection_id)._subscribers) == 1
    assert len(pages(backlog)) == 1
    assert pages(backlog) == []


async def test_new_points_ring_at_once(tmp_path: Path) -> None:
    store, backlog = store_in(tmp_path), Backlog()
    await reports_of(store, backlog).accept(TERMS)
    pages(backlog)
    rings: list[int] = []
    backlog.on_urgent = lambda: rings.append(1)
    (callback,) = store.get(ACCEPTED.protection_id)._subscribers
    callback(PointsChanged((sealed_point(1, GENERATION),), (0,), 0))
    assert rings == [1]
    (page,) = pages(backlog)
    assert [point.sequence for point in page.points] == [1]
    assert list(page.released) == [0]


async def test_refused_replica_is_not_reported(tmp_path: Path) -> None:
    store, backlog = store_in(tmp_path), Backlog()
    reports = reports_of(store, backlog)
    await reports.accept(TERMS)
    pages(backlog)
    with pytest.raises(ReplicaError):
        await reports.accept(
            replace(TERMS, accepted=replace(ACCEPTED, source_host_id="somebody else"))
        )
    assert pages(backlog) == []


async def test_version_of_the_ordered_grant_is_noted(tmp_path: Path) -> None:
    store, backlog = store_in(tmp_path), Backlog()
    await reports_of(store, backlog).accept(replace(TERMS, grant=OFFICE.grant(version=4)))
    assert store.get(ACCEPTED.protection_id).grant_version == 4
    again = store_in(tmp_path)
    await again.open()
    assert again.get(ACCEPTED.protection_id).grant_version == 4


async def test_replica_with_a_grant_of_something_else_is_not_accepted(tmp_path: Path) -> None:
    store, backlog = store_in(tmp_path), Backlog()
    with pytest.raises(GrantRefusedError, match="target host id is x, not t") as raised:
        await reports_of(store, backlog).accept(
            replace(TERMS, grant=OFFICE.grant(target_host_id="x"))
        )
    assert raised.value.code == "grant-invalid"
    assert store.all() == ()


async def test_removed_replica_is_not_reported_and_may_be_accepted_anew(tmp_path: Path) -> None:
    store, backlog = store_in(tmp_path), Backlog()
    reports = reports_of(store, backlog)
    await reports.accept(replace(TERMS, grant=OFFICE.grant(version=4)))
    (callback,) = store.get(ACCEPTED.protection_id)._subscribers
    assert await reports.remove(ACCEPTED.protection_id, False) == ()
    callback(PointsChanged((sealed_point(1, GENERATION),), (), 0))
    assert pages(backlog) == []
    again = replace(ACCEPTED, generation=OTHER_GENERATION)
    await reports.accept(replace(TERMS, accepted=again))
    (page,) = pages(backlog)
    assert (page.generation, page.covers_from) == (OTHER_GENERATION, 1)
    assert store.get(ACCEPTED.protection_id).grant_version == 0


async def test_replica_that_is_gone_is_removed_again(tmp_path: Path) -> None:
    assert (
        await reports_of(store_in(tmp_path), Backlog()).remove(ACCEPTED.protection_id, True) == ()
    )


async def test_replica_is_not_removed_under_a_rehearsal(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    reports = reports_of(store, Backlog(), "rehearsal-7")
    await reports.accept(TERMS)
    with pytest.raises(RehearsalError, match="in use by test failover rehearsal-7"):
        await reports.remove(ACCEPTED.protection_id, False)
    assert len(store.all()) == 1


async def test_point_of_another_generation_is_not_digested(tmp_path: Path) -> None:
    reports = reports_of(store_in(tmp_path), Backlog())
    await reports.accept(TERMS)
    with pytest.raises(ReplicaError) as raised:
        await reports.digest(replace(POINT, generation=OTHER_GENERATION), no_progress)
    assert raised.value.code == "unknown-point"


def no_progress(step: str, done_bytes: int = 0, total_bytes: int = 0) -> None:
    raise AssertionError(step)
