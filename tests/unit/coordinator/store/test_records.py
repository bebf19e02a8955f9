from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from coordinator.domain import registration_keys
from coordinator.domain.commands import BY_VAULT
from coordinator.domain.decisions import Decision
from coordinator.domain.identifiers import HostId, JobId, KeyId, OrderId, RehearsalId
from coordinator.domain.jobs import JobState
from coordinator.domain.orders import CleanUpRehearsal, Failure, Order
from coordinator.domain.rehearsals import Rehearsal, RehearsalState
from coordinator.domain.replication import ReplicationReport, ReplicationState, Verification
from coordinator.orchestration.vault import Vault
from coordinator.store.database import Store
from coordinator.store.history import Anchor
from replikera.history import GENESIS
from tests.unit.coordinator.examples import MACHINE, NOW, SOURCE, TARGET
from tests.unit.coordinator.vaults import protect, save


async def test_a_new_database_holds_no_vault(tmp_path: Path) -> None:
    store = Store(tmp_path / "vault.db")
    await store.open()
    async with store.read() as records:
        assert await records.vault() is None
        assert await records.head() == Anchor(0, GENESIS)
    await store.close()


async def test_jobs_and_test_failovers_are_listed_newest_first(vault: Vault) -> None:
    protection = await protect(vault)
    async with vault.store.read() as records:
        (job,) = (await records.jobs_page()).items
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
        "mapped",
        NOW + timedelta(14),
    )
    second = replace(
        first,
        id=RehearsalId("r2"),
        state=RehearsalState.FAILED,
        created_at=NOW + timedelta(seconds=1),
    )
    await save(vault, newer, second, first)
    async with vault.store.read() as records:
        assert (await records.jobs_page()).items == (newer, job)
        assert await records.running_jobs() == 1
        assert (await records.rehearsals_page()).items == (second, first)
        assert await records.last_rehearsal(protection.id) == second
        assert await records.unfinished_rehearsal(protection.id) == second
        assert await records.last_rehearsals_of((protection,)) == {protection.id: second}
        assert await records.last_rehearsals_of(()) == {}
        assert await records.last_successes_of((protection,)) == {}
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
        5,
        Verification("job", 1, 2, 0, is_finished=True, finished_at=NOW),
        NOW,
        Failure("w", "x", "y"),
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


async def test_jobs_are_listed_by_state_and_object(vault: Vault) -> None:
    await protect(vault)
    async with vault.store.read() as records:
        (job,) = (await records.jobs_page()).items
    others = [
        replace(
            job,
            id=JobId(f"job-{at}"),
            state=JobState.RUNNING if at % 2 else JobState.FAILED,
            subject=f"m{at % 3}",
        )
        for at in range(12)
    ]
    await save(vault, *others)
    async with vault.store.read() as records:
        running = await records.jobs_page(None, 4, state=JobState.RUNNING)
        rest = await records.jobs_page(running.next_cursor, 4, state=JobState.RUNNING)
        assert rest.next_cursor is None
        found = [item.id for item in (*running.items, *rest.items)]
        assert sorted(found) == [f"job-{at}" for at in (1, 11, 3, 5, 7, 9)]
        about = await records.jobs_page(subject="m1", state=JobState.FAILED)
        assert {item.id for item in about.items} == {"job-4", "job-10"}


async def test_what_reconciliation_needs_is_found_whole(vault: Vault) -> None:
    protection = await protect(vault)
    async with vault.store.read() as records:
        assert await records.protections_of(SOURCE.id) == (protection,)
        assert await records.protections_of(TARGET.id) == (protection,)
        assert await records.protections_of(HostId("other")) == ()
        assert await records.protection_members() == {SOURCE.id, TARGET.id}
        assert await records.all_open_orders() == ()
        (job,) = (await records.jobs_page()).items
    order = Order(
        OrderId("open"), job.id, TARGET.id, NOW, CleanUpRehearsal(RehearsalId("r"), protection.id)
    )
    key, decision = registration_keys.create(KeyId("k"), "secret", "a", timedelta(days=1), NOW)
    used = replace(key, id=KeyId("used"), used_at=NOW)
    revoked = replace(key, id=KeyId("revoked"), revoked_at=NOW)
    async with vault.store.write() as records:
        await records.save(decision + Decision((used, revoked), (order,)), BY_VAULT)
    async with vault.store.read() as reading:
        assert await reading.all_open_orders() == (order,)
        assert await reading.unused_keys() == (key,)


async def test_the_last_success_is_the_newest_that_was_started_and_cleaned_up(vault: Vault) -> None:
    protection = await protect(vault)

    def test_failover(number: int, state: RehearsalState, *, was_started: bool) -> Rehearsal:
        return Rehearsal(
            RehearsalId(f"r{number}"),
            protection.id,
            protection.job_id,
            state,
            protection.generation,
            number,
            "web - test",
            (),
            NOW + timedelta(days=number),
            "mapped",
            NOW + timedelta(days=number + 14),
            was_started=was_started,
        )

    await save(
        vault,
        test_failover(1, RehearsalState.CLEANED_UP, was_started=True),
        proof := test_failover(2, RehearsalState.CLEANED_UP, was_started=True),
        test_failover(3, RehearsalState.CLEANED_UP, was_started=False),
        last := test_failover(4, RehearsalState.FAILED, was_started=True),
    )
    async with vault.store.read() as records:
        assert await records.last_successes_of((protection,)) == {protection.id: proof}
        assert await records.last_successes_of(()) == {}
        assert await records.last_rehearsals_of((protection,)) == {protection.id: last}
