from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from coordinator.domain.identifiers import JobId, RehearsalId
from coordinator.domain.jobs import JobState
from coordinator.domain.orders import Failure
from coordinator.domain.rehearsals import Rehearsal, RehearsalState
from coordinator.domain.replication import ReplicationReport, ReplicationState
from coordinator.orchestration.vault import Vault
from coordinator.store.database import Store
from tests.unit.coordinator.examples import MACHINE, NOW, SOURCE, TARGET
from tests.unit.coordinator.vaults import protect, save


async def test_a_new_database_holds_no_vault(tmp_path: Path) -> None:
    store = Store(tmp_path / "vault.db")
    await store.open()
    async with store.read() as records:
        assert await records.vault() is None
        assert await records.control_version() == 0
    await store.close()


async def test_jobs_and_test_failovers_are_listed_newest_first(vault: Vault) -> None:
    protection = await protect(vault)
    async with vault.store.read() as records:
        (job,) = await records.recent_jobs()
        assert await records.running_jobs() == 0
        assert await records.last_rehearsal(protection.id) is None
    newer = replace(
        job, id=JobId("newer"), state=JobState.RUNNING, created_at=job.created_at + timedelta(1)
    )
    first = Rehearsal(
        RehearsalId("r1"),
        protection.id,
        job.id,
        RehearsalState.CLEANED_UP,
        protection.generation,
        1,
        "web - test",
        (),
        NOW,
    )
    second = replace(
        first,
        id=RehearsalId("r2"),
        state=RehearsalState.FAILED,
        created_at=NOW + timedelta(seconds=1),
    )
    await save(vault, newer, second, first)
    async with vault.store.read() as records:
        assert await records.recent_jobs() == (newer, job)
        assert await records.running_jobs() == 1
        assert await records.recent_rehearsals() == (second, first)
        assert await records.last_rehearsal(protection.id) == second
        assert await records.unfinished_rehearsal(protection.id) == second
    await save(vault, replace(second, state=RehearsalState.CLEANED_UP))
    async with vault.store.read() as records:
        assert await records.unfinished_rehearsal(protection.id) is None
        assert await records.protection_of_machine(MACHINE.id) == protection
        assert await records.protection_of_machine("other") is None
        (mapping,) = await records.mappings_between(SOURCE.id, TARGET.id)
        assert mapping.test_network == "bubble"
        assert await records.mappings_between(TARGET.id, SOURCE.id) == ()


async def test_the_last_report_of_a_protection_takes_the_place_of_the_one_before(
    vault: Vault,
) -> None:
    protection = await protect(vault)
    report = ReplicationReport(
        protection.id,
        ReplicationState.WAITING,
        Failure("a", "b", "c"),
        1,
        2,
        3.5,
        NOW,
        4,
        NOW,
    )
    newer = replace(
        report,
        state=ReplicationState.REPLICATING,
        failure=None,
        acknowledged_capture_started_at=None,
    )
    for kept in (report, newer):
        async with vault.store.write() as records:
            await records.save_report(kept)
            assert await records.reports() == (kept,)


async def test_every_decision_raises_the_control_version(vault: Vault) -> None:
    async with vault.store.read() as records:
        before = await records.control_version()
        (event,) = await records.history()
        assert event.kind == "vault-created"
    await protect(vault)
    async with vault.store.read() as records:
        assert await records.control_version() > before
        assert (await records.history(limit=1))[0].kind == "machine-protected"
