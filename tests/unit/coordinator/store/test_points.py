from coordinator.domain.identifiers import Generation
from coordinator.domain.points import PointChanges, PointReport, RecoveryPoint
from coordinator.orchestration.vault import Vault
from coordinator.store.points import _GROUP
from tests.unit.coordinator.examples import recovery_point
from tests.unit.coordinator.vaults import protect, report, the_protection


async def test_many_points_are_added_released_and_listed_newest_first(vault: Vault) -> None:
    await protect(vault)
    many = tuple(range(2, 2 * _GROUP + 3))
    await report(vault, *many)
    protection = await the_protection(vault)
    async with vault.store.read() as records:
        newest = await records.points.newest(protection)
        assert newest is not None
        assert newest.sequence == many[-1]
        listed = await records.points.listed(protection)
        assert [point.sequence for point in listed] == [*reversed(many), 1]
    await report(vault, released=many[:-1])
    async with vault.store.read() as records:
        assert [point.sequence for point in await records.points.listed(protection)] == [
            many[-1],
            1,
        ]
        found = await records.points.find(protection, 1)
        assert found == recovery_point(
            1, protection_id=protection.id, generation=protection.generation
        )
        assert await records.points.find(protection, 7) is None


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
