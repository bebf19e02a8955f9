from datetime import timedelta

import pytest

from coordinator.domain.commands import by_operator
from coordinator.domain.errors import (
    DomainError,
    IllegalTransitionError,
    InvalidValueError,
    UnknownObjectError,
)
from coordinator.domain.job_results import DigestedPoint, NamedPoint
from coordinator.domain.jobs import Job, JobState
from coordinator.domain.orders import (
    DigestPoint,
    DiskDigest,
    Done,
    ExportPoint,
    Failure,
    NamePoint,
    Order,
    PointDigests,
    PointExported,
    PointNamed,
    Withdrawn,
)
from coordinator.domain.point_exports import ExportWish
from coordinator.domain.points import PointKind
from coordinator.domain.protections import ProtectionState
from coordinator.orchestration.jobs import cancel_job
from coordinator.orchestration.outcomes import receive_outcome
from coordinator.orchestration.points import (
    digest_point,
    export_point,
    name_point,
    points_page,
    retention_status,
    selected_point,
)
from coordinator.orchestration.trust import revoke_host
from coordinator.orchestration.vault import Vault
from coordinator.store.points import PointFilter
from tests.unit.coordinator.examples import SOURCE, TARGET, recovery_point
from tests.unit.coordinator.vaults import (
    BY_ANN,
    equip,
    kinds,
    protect,
    report,
    the_job,
    the_order,
    the_protection,
)

DISKS = (DiskDigest("disk-1", "system.vhdx", 1 << 30, "ab" * 32),)


async def protect_with_points(vault: Vault) -> None:
    """Protect the machine, up to its fourth point; the third is application-consistent."""
    await protect(vault)
    await report(vault, 2)
    await report(vault, 3, kind=PointKind.APPLICATION_CONSISTENT)
    await report(vault, 4)


async def answer(vault: Vault, order: Order, outcome: PointDigests | Failure | Done) -> None:
    await receive_outcome(vault, TARGET.id, order.id, outcome)


async def test_points_are_listed_with_the_end_of_their_retention(vault: Vault) -> None:
    await protect_with_points(vault)
    async with vault.store.read() as records:
        page = await points_page(records, "web", None, 2, PointFilter())
        rest = await points_page(records, "web", page.next_cursor, 9, PointFilter())
    ends = {item.point.sequence: item.retained_until for item in (*page.items, *rest.items)}
    hour = timedelta(hours=1)
    assert ends == {4: None} | {at: recovery_point(at).sealed_at + hour for at in (3, 2, 1)}


@pytest.mark.parametrize(
    ("text", "sequence"),
    [
        ("latest", 4),
        ("latest-application-consistent", 3),
        ("2", 2),
        (recovery_point(1).capture_ended_at.isoformat(), 1),
    ],
)
async def test_a_point_is_found_by_what_stands_for_it(
    vault: Vault, text: str, sequence: int
) -> None:
    await protect_with_points(vault)
    async with vault.store.read() as records:
        assert (await selected_point(records, "web", text)).point.sequence == sequence


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("9", UnknownObjectError),
        (recovery_point(1).capture_started_at.isoformat(), UnknownObjectError),
        ("first", InvalidValueError),
    ],
)
async def test_a_point_that_is_not_there_is_not_found(
    vault: Vault, text: str, error: type[DomainError]
) -> None:
    await protect_with_points(vault)
    async with vault.store.read() as records:
        with pytest.raises(error):
            await selected_point(records, "web", text)


async def test_retention_is_what_the_target_holds(vault: Vault) -> None:
    await protect_with_points(vault)
    async with vault.store.read() as records:
        status = await retention_status(records, "web")
    held = status.held
    assert (status.policy.name, held.count, held.payload_bytes) == ("quick", 4, 4 * 4096)
    found = (held.oldest, held.newest, held.newest_application_consistent)
    assert [item.point.sequence if item is not None else None for item in found] == [1, 4, 3]
    assert [item.retained_until is None for item in found if item is not None] == [
        False,
        True,
        False,
    ]


async def test_a_protection_without_points_holds_nothing(vault: Vault) -> None:
    await protect(vault)
    await report(vault, complete=True)
    async with vault.store.read() as records:
        held = (await retention_status(records, "web")).held
    assert (held.count, held.payload_bytes) == (0, 0)
    assert held.oldest is held.newest is held.newest_application_consistent is None


async def test_the_digests_of_a_point_stay_with_the_job(vault: Vault) -> None:
    await protect_with_points(vault)
    job = await digest_point(vault, BY_ANN, "web", "latest-application-consistent")
    order = await the_order(vault, TARGET.id)
    protection = await the_protection(vault)
    assert order.action == DigestPoint(protection.id, protection.generation, 3)
    await answer(vault, order, PointDigests(DISKS))
    done = await the_job(vault, job.id)
    assert (done.state, done.result) == (
        JobState.SUCCEEDED,
        DigestedPoint(protection.generation, 3, DISKS),
    )
    assert (await kinds(vault))[-2:] == ["point-digest-requested", "point-digested"]


async def test_a_repeated_request_answers_with_the_same_job(vault: Vault) -> None:
    await protect_with_points(vault)
    command = by_operator("ann", "key", b"digest")
    job = await digest_point(vault, command, "web", "latest")
    await report(vault, 5)
    assert await digest_point(vault, command, "web", "latest") == job
    with pytest.raises(IllegalTransitionError, match="being read already"):
        await digest_point(vault, BY_ANN, "web", "1")
    await the_order(vault, TARGET.id)


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [
        (Failure("unknown-point", "The point is gone.", "Choose another."), "The point is gone."),
        (PointDigests(()), "The target host says that it read the point and tells of no disk."),
        (Done(), "The host answered DigestPoint with Done."),
    ],
)
async def test_a_point_that_was_not_read_fails_the_job_and_nothing_else(
    vault: Vault, outcome: PointDigests | Failure | Done, cause: str
) -> None:
    await protect_with_points(vault)
    job = await digest_point(vault, BY_ANN, "web", "1")
    await answer(vault, await the_order(vault, TARGET.id), outcome)
    failed = await the_job(vault, job.id)
    assert (failed.state, failed.cause, failed.result) == (JobState.FAILED, cause, None)
    assert (await the_protection(vault)).state is ProtectionState.PROTECTED
    assert (await digest_point(vault, BY_ANN, "web", "1")).state is JobState.RUNNING


async def test_a_digest_that_has_not_begun_can_be_cancelled(vault: Vault) -> None:
    await protect_with_points(vault)
    job = await digest_point(vault, BY_ANN, "web", "1")
    await cancel_job(vault, BY_ANN, job.id)
    order = await the_order(vault, TARGET.id)
    await receive_outcome(vault, TARGET.id, order.id, Withdrawn())
    assert (await the_job(vault, job.id)).state is JobState.CANCELLED


async def test_a_point_of_nothing_is_not_read(vault: Vault) -> None:
    await equip(vault)
    with pytest.raises(UnknownObjectError):
        await digest_point(vault, BY_ANN, "web", "latest")


async def test_a_host_that_nobody_trusts_reads_nothing(vault: Vault) -> None:
    await protect_with_points(vault)
    await revoke_host(vault, BY_ANN, "b1", "")
    for ask in (
        digest_point(vault, BY_ANN, "web", "latest"),
        export_point(vault, BY_ANN, "web", "latest", ExportWish(0, "web.raw")),
    ):
        with pytest.raises(DomainError) as caught:
            await ask
        assert caught.value.code == "host-revoked"


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        (PointExported("/e/web.raw", DiskDigest("d", "d.vhdx", 9, "ab" * 32)), "succeeded"),
        (Failure("file-exists", "There is a file.", "Choose another name."), "failed"),
        (Done(), "failed"),
    ],
)
async def test_an_export_ends_with_its_order(
    vault: Vault, outcome: PointExported | Failure | Done, state: str
) -> None:
    await protect_with_points(vault)
    job = await export_point(vault, BY_ANN, "web", "latest", ExportWish(1, "web.raw"))
    order = await the_order(vault, TARGET.id)
    assert isinstance(order.action, ExportPoint)
    assert (order.action.sequence, order.action.disk, order.action.file_name) == (4, 1, "web.raw")
    await receive_outcome(vault, TARGET.id, order.id, outcome)
    assert (await the_job(vault, job.id)).state == state


async def test_an_export_that_has_not_begun_can_be_cancelled(vault: Vault) -> None:
    await protect_with_points(vault)
    job = await export_point(vault, BY_ANN, "web", "latest", ExportWish(0, "web.raw"))
    await cancel_job(vault, BY_ANN, job.id)
    await receive_outcome(vault, TARGET.id, (await the_order(vault, TARGET.id)).id, Withdrawn())
    assert (await the_job(vault, job.id)).state == "cancelled"


async def begin_naming(vault: Vault) -> tuple[Job, Order]:
    await protect_with_points(vault)
    job = await name_point(vault, BY_ANN, "web", "patch day")
    order = await the_order(vault, SOURCE.id)
    assert isinstance(order.action, NamePoint)
    return job, order


@pytest.mark.parametrize("is_listed_first", [True, False])
async def test_a_named_point_can_be_chosen_when_its_job_has_succeeded(
    vault: Vault, is_listed_first: bool
) -> None:
    job, order = await begin_naming(vault)
    outcome = PointNamed((await the_protection(vault)).generation, 5)
    if is_listed_first:
        await report(vault, 5, kind=PointKind.NAMED, name="patch day")
    await receive_outcome(vault, SOURCE.id, order.id, outcome)
    if not is_listed_first:
        assert (await the_job(vault, job.id)).state == "running"
        await report(vault)
        assert (await the_job(vault, job.id)).state == "running"
        await report(vault, 5, kind=PointKind.NAMED, name="patch day")
    done = await the_job(vault, job.id)
    assert (done.state, done.result) == (
        "succeeded",
        NamedPoint(outcome.generation, 5, "patch day"),
    )
    async with vault.store.read() as records:
        chosen = await selected_point(records, "web", "name:patch day")
    assert chosen.point.sequence == 5
    assert "point-named" in await kinds(vault)


@pytest.mark.parametrize(
    "outcome", [Failure("point-not-named", "It is paused.", "Resume it."), Done()]
)
async def test_a_point_that_was_not_named_fails_its_job(
    vault: Vault, outcome: Failure | Done
) -> None:
    job, order = await begin_naming(vault)
    await receive_outcome(vault, SOURCE.id, order.id, outcome)
    assert (await the_job(vault, job.id)).state == "failed"


async def test_a_name_that_nobody_began_to_give_can_be_taken_back(vault: Vault) -> None:
    job, order = await begin_naming(vault)
    await cancel_job(vault, BY_ANN, job.id)
    await receive_outcome(vault, SOURCE.id, order.id, Withdrawn())
    assert (await the_job(vault, job.id)).state == "cancelled"


async def test_nobody_waits_for_a_list_of_a_target_that_was_revoked(vault: Vault) -> None:
    job, order = await begin_naming(vault)
    outcome = PointNamed((await the_protection(vault)).generation, 5)
    await receive_outcome(vault, SOURCE.id, order.id, outcome)
    await revoke_host(vault, BY_ANN, TARGET.id, "stolen")
    assert (await the_job(vault, job.id)).state == "failed"
