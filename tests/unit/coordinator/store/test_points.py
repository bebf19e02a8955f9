from dataclasses import replace

from coordinator.domain.identifiers import Generation, MachineId, ProtectionId
from coordinator.domain.points import PointChanges, PointReport, RecoveryPoint
from coordinator.orchestration.vault import Vault
from coordinator.store.repository import GROUP
from tests.unit.coordinator.examples import recovery_point
from tests.unit.coordinator.vaults import protect, report, save, the_protection


async def test_many_points_are_added_released_and_listed_newest_first(vault: Vault) -> None:
    await protect(vault)
    many = tuple(range(2, 2 * GROUP + 3))
    await report(vault, *many)
    protection = await the_protection(vault)
    async with vault.store.read() as records:
        newest = await records.points.newest(protection)
        assert newest is not None
        assert newest.sequence == many[-1]
        listed = await records.points.page(protection, None, 600)
        rest = await records.points.page(protection, listed.next_cursor, 600)
        sequences = [point.sequence for point in (*listed.items, *rest.items)]
        assert sequences == [*reversed(many), 1]
    await report(vault, released=many[:-1])
    async with vault.store.read() as records:
        assert [point.sequence for point in (await records.points.page(protection)).items] == [
            many[-1],
            1,
        ]
        found = await records.points.find(protection, 1)
        assert found == recovery_point(
            1, protection_id=protection.id, generation=protection.generation
        )
        assert await records.points.find(protection, 7) is None


async def test_the_newest_points_of_many_protections_are_found_at_once(vault: Vault) -> None:
    protection = await protect(vault)
    await report(vault, 2, 3)
    other = replace(protection, id=ProtectionId("other"), machine_id=MachineId("other"))
    without = replace(protection, id=ProtectionId("without"), machine_id=MachineId("without"))
    await save(vault, other, without)
    lost = recovery_point(9, protection_id=protection.id, generation=Generation("lost"))
    fourth = recovery_point(4, protection_id=other.id, generation=other.generation)
    async with vault.store.write() as records:
        for point in (lost, fourth):
            lineage = (point.protection_id, point.generation)
            await records.points.apply(PointChanges(*lineage, (point,), ()))
        found = await records.points.newest_of((protection, other, without))
        assert {name: point.sequence for name, point in found.items()} == {
            protection.id: 3,
            other.id: 4,
        }
        assert found[protection.id] == await records.points.newest(protection)
        assert await records.points.newest_of(()) == {}


async def test_points_of_another_generation_are_kept_apart(vault: Vault) -> None:
    protection = await protect(vault)
    other = Generation("other")
    old = recovery_point(9, protection_id=protection.id, generation=other)
    async with vault.store.write() as records:
        await records.points.apply(PointChanges(protection.id, other, (old,), ()))
        newest = await records.points.newest(protection)
        assert isinstance(newest, RecoveryPoint)
        assert newest.sequence == 1
        whole = PointReport(protection.id, other, (), (), is_complete=True, number=1)
        assert await records.points.known(whole) == {9: old.chain_digest}
        change = PointReport(protection.id, other, (old,), (1, 2), is_complete=False, number=1)
        assert await records.points.known(change) == {9: old.chain_digest}
