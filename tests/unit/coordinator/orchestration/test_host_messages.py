from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.domain.errors import ForbiddenError, RefusedError, UnknownObjectError
from coordinator.domain.identifiers import Generation, HostId, MachineId, OrderId, ProtectionId
from coordinator.domain.inventory import Inventory
from coordinator.domain.orders import Failure, OrderProgress
from coordinator.domain.points import PointReport
from coordinator.domain.protections import ProtectionState
from coordinator.domain.replication import ReplicationReport, ReplicationState
from coordinator.orchestration import host_messages as messages
from coordinator.orchestration.protections import enable_protection
from coordinator.orchestration.vault import Vault
from tests.unit.coordinator.examples import MACHINE, NOW, SOURCE, TARGET
from tests.unit.coordinator.vaults import (
    BY_ANN,
    equip,
    kinds,
    protect,
    report,
    save,
    the_job,
    the_order,
    the_protection,
)


def replication(protection_id: ProtectionId, **more: object) -> ReplicationReport:
    plain = ReplicationReport(
        protection_id, ReplicationState.REPLICATING, None, 1, 2, 3.0, None, 0, NOW
    )
    return replace(plain, **more)  # type: ignore[arg-type]  # fields of the report


async def test_an_inventory_takes_the_place_of_the_one_before(vault: Vault) -> None:
    await equip(vault)
    await messages.replace_inventory(vault, SOURCE.id, Inventory((), ()))
    async with vault.store.read() as records:
        assert (await records.inventories.machines_page()).items == ()
    await messages.replace_inventory(vault, SOURCE.id, Inventory((MACHINE,), ()))
    async with vault.store.read() as records:
        assert (await records.inventories.machines_page()).items == (MACHINE,)


async def test_a_point_of_another_content_is_told_once_and_not_believed(vault: Vault) -> None:
    before = await protect(vault)
    for _ in range(2):
        await report(vault, 1, 2, chain_digest=bytes(32))
    protection = await the_protection(vault)
    assert protection.state == "resync-required"
    assert protection.cause is not None
    assert "Point 1 of protection" in protection.cause
    assert "another digest" in protection.cause
    assert (await kinds(vault)).count("resync-required") == 1
    async with vault.store.read() as records:
        found = {p.sequence: p.chain_digest for p in (await records.points.page(before)).items}
    assert found == {1: (1).to_bytes(32, "big"), 2: bytes(32)}
    await save(vault, replace(protection, state=ProtectionState.PROTECTED))
    await report(vault, 1, 2, chain_digest=bytes(32), complete=True)
    again = await the_protection(vault)
    assert again.state == "protected", "a resync is not undone by what was known before it"
    async with vault.store.read() as records:
        kept = {p.sequence: p.is_doubtful for p in (await records.points.page(before)).items}
    assert kept == {1: True, 2: False}


async def test_a_protection_follows_the_name_of_its_machine_at_its_source(vault: Vault) -> None:
    protection = await protect(vault)
    other = replace(MACHINE, host_id=TARGET.id, name="elsewhere")
    await messages.replace_inventory(vault, TARGET.id, Inventory((other,), ()))
    assert (await the_protection(vault)).machine_name == "web"
    newer = replace(MACHINE, id=MachineId("newer"))
    older = replace(MACHINE, name="web-old")
    await messages.replace_inventory(vault, SOURCE.id, Inventory((older, newer), ()))
    async with vault.store.read() as records:
        assert (await records.protections.get("web-old")).id == protection.id
        assert (await records.protections.get(MACHINE.id)).id == protection.id
        with pytest.raises(UnknownObjectError):
            await records.protections.get("web")
    assert (await kinds(vault)).count("protection-renamed") == 1
    await messages.replace_inventory(vault, SOURCE.id, Inventory((older, newer), ()))
    await messages.replace_inventory(vault, SOURCE.id, Inventory((), ()))
    assert (await kinds(vault)).count("protection-renamed") == 1


async def test_points_come_from_the_target_of_the_present_generation_only(vault: Vault) -> None:
    protection = await protect(vault)
    for host_id in (SOURCE.id, HostId("other")):
        with pytest.raises(ForbiddenError):
            await report(vault, 2, host_id=host_id)
    with pytest.raises(RefusedError) as caught:
        await report(vault, 2, generation=Generation("older"))
    assert caught.value.code == "generation-unknown"
    nobody = PointReport(ProtectionId("none"), protection.generation, (), (), None, 1)
    with pytest.raises(ForbiddenError):
        await messages.receive_points(vault, TARGET.id, nobody)
    async with vault.store.read() as records:
        assert [point.sequence for point in (await records.points.page(protection)).items] == [1]


async def test_a_report_is_taken_from_the_source_only(vault: Vault) -> None:
    protection = await protect(vault)
    for host_id in (TARGET.id, HostId("other")):
        with pytest.raises(ForbiddenError):
            await messages.receive_replication(vault, host_id, replication(protection.id))
    with pytest.raises(ForbiddenError):
        await messages.receive_replication(vault, SOURCE.id, replication(ProtectionId("none")))
    assert vault.reports.get(protection.id) is None
    await messages.receive_replication(vault, SOURCE.id, replication(protection.id))
    with pytest.raises(ForbiddenError):
        await messages.receive_replication(vault, TARGET.id, replication(protection.id))
    async with vault.store.read() as records:
        assert await records.reports() == (replication(protection.id),)


async def test_reports_that_say_nothing_new_do_not_touch_the_store(vault: Vault) -> None:
    protection = await protect(vault)
    first = replication(protection.id)
    await messages.receive_replication(vault, SOURCE.id, first)
    newer = replace(first, done_bytes=2, reported_at=NOW + timedelta(seconds=1))
    async with vault.store.write():
        await messages.receive_replication(vault, SOURCE.id, newer)
    assert vault.reports.get(protection.id) == newer
    async with vault.store.read() as records:
        assert await records.reports() == (first,)


@pytest.mark.parametrize("failure", [Failure("mark-lost", "It is lost.", "Resync."), None])
async def test_a_required_resync_stays_whatever_is_said_later(
    vault: Vault, failure: Failure | None
) -> None:
    protection = await protect(vault)
    lost = replication(protection.id, state=ReplicationState.RESYNC_REQUIRED, failure=failure)
    await messages.receive_replication(vault, SOURCE.id, lost)
    await messages.receive_replication(vault, SOURCE.id, replication(protection.id))
    await report(vault, 2)
    found = await the_protection(vault)
    assert found.state is ProtectionState.RESYNC_REQUIRED
    assert found.cause == (failure.cause if failure else messages._UNEXPLAINED.cause)


async def test_progress_is_taken_from_the_host_of_an_open_order(vault: Vault) -> None:
    await equip(vault)
    job = await enable_protection(vault, BY_ANN, "web", "b1", "quick")
    order = await the_order(vault, TARGET.id)
    step = OrderProgress(order.id, "accept", 1, 2)
    with pytest.raises(ForbiddenError):
        await messages.receive_progress(vault, SOURCE.id, step)
    with pytest.raises(ForbiddenError):
        await messages.receive_progress(vault, TARGET.id, replace(step, order_id=OrderId("x")))
    assert vault.progress.get(job.id) is None
    await messages.receive_progress(vault, TARGET.id, step)
    told = vault.progress.get(job.id)
    assert told is not None
    assert (told.done_bytes, told.total_bytes) == (1, 2)
    assert (await the_job(vault, job.id)).state == "running"
