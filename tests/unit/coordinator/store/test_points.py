import itertools
from dataclasses import replace
from datetime import timedelta

import pytest

from coordinator.domain.identifiers import Generation, MachineId, ProtectionId
from coordinator.domain.point_selection import (
    LATEST,
    LATEST_APPLICATION_CONSISTENT,
    LATEST_PROCESSED,
    parse,
    select,
)
from coordinator.domain.points import (
    MAX_INTEGER,
    Covered,
    PointChanges,
    PointKind,
    PointReport,
    RecoveryPoint,
)
from coordinator.orchestration.vault import Vault
from coordinator.store.points import PointFilter, PointTotals
from coordinator.store.repository import GROUP
from tests.support.seeded_randomness import SeededRandomness
from tests.unit.coordinator.examples import NOW, recovery_point
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
        change = PointReport(protection.id, other, (old,), (1, 2), None, number=1)
        assert await records.points.known(change) == {9: (old.chain_digest,)}


async def test_another_content_is_marked_and_known_from_then_on(vault: Vault) -> None:
    protection = await protect(vault)
    await report(vault, 2)
    lineage = (protection.id, protection.generation)
    other = recovery_point(
        2, protection_id=lineage[0], generation=lineage[1], chain_digest=b"x" * 32
    )
    async with vault.store.write() as records:
        await records.points.apply(PointChanges(*lineage, (), (), doubtful=((2, b"x" * 32),)))
        told = PointReport(*lineage, (other,), (), None, 1)
        assert (await records.points.known(told))[2][1] == b"x" * 32
        found = [await records.points.find(protection, number) for number in (1, 2)]
    assert [point.is_doubtful for point in found if point is not None] == [False, True]


async def test_what_a_page_covers_and_does_not_name_goes(vault: Vault) -> None:
    protection = await protect(vault)
    await report(vault, *range(2, 41))
    lineage = (protection.id, protection.generation)
    page = PointChanges(*lineage, (), (3,), Covered(10, 30), (12, 29))
    async with vault.store.write() as records:
        await records.points.apply(page)
        left = await records.points.page(protection, None, 100)
    found = [point.sequence for point in reversed(left.items)]
    assert found == [1, 2, *range(4, 10), 12, 29, *range(31, 41)]


@pytest.mark.parametrize("seed", range(6))
async def test_the_store_selects_the_point_that_the_domain_does(vault: Vault, seed: int) -> None:
    protection = await protect(vault)
    drawn = SeededRandomness(seed).bytes(40)
    points = [
        recovery_point(
            at + 2,
            protection_id=protection.id,
            generation=protection.generation,
            kind=list(PointKind)[number % 3],
            capture_ended_at=NOW + timedelta(seconds=at + 2 + number % 5),
            name="patch day" if number % 7 == 0 else "",
        )
        for at, number in enumerate(drawn)
        if number > 60
    ]
    processed = 3 * seed
    lineage = (protection.id, protection.generation)
    changes = PointChanges(*lineage, tuple(points), (1,), processed=processed)
    ends = sorted({point.capture_ended_at for point in points})
    moments = [end + timedelta(microseconds=by) for end in ends for by in (-1, 0)]
    texts = [LATEST, LATEST_PROCESSED, LATEST_APPLICATION_CONSISTENT, *map(str, range(1, 50))]
    texts += [moment.isoformat() for moment in moments]
    texts += ["name:patch day", "name:other", f"{protection.generation}:9", f"{protection.id}:9"]
    async with vault.store.write() as records:
        await records.points.apply(changes)
        for selector in map(parse, texts):
            expected = select(points, selector, processed)
            assert await records.points.selected(protection, selector) == expected, selector


async def test_what_a_target_has_applied_may_go_on_and_back_and_is_of_one_lineage(
    vault: Vault,
) -> None:
    protection = await protect(vault)
    await report(vault, 2, 3, 4)
    other = Generation("other")
    selector = parse(LATEST_PROCESSED)
    async with vault.store.write() as records:
        untold = await records.points.selected(protection, selector)
        assert untold is None
        found = []
        for processed in (3, 4, 4, 2):
            told = PointChanges(protection.id, protection.generation, (), (), processed=processed)
            await records.points.apply(told)
            await records.points.apply(PointChanges(protection.id, other, (), (), processed=1))
            point = await records.points.selected(protection, selector)
            assert point is not None
            found.append(point.sequence)
        assert found == [3, 4, 4, 2]


async def test_a_list_shows_what_is_wanted_page_by_page(vault: Vault) -> None:
    protection = await protect(vault)
    for sequence, kind in zip(range(2, 12), itertools.cycle(PointKind), strict=False):
        await report(vault, sequence, kind=kind)
    consistent = PointFilter(PointKind.APPLICATION_CONSISTENT)
    stretch = PointFilter(None, NOW + timedelta(seconds=3), NOW + timedelta(seconds=6))
    both = replace(stretch, kind=PointKind.APPLICATION_CONSISTENT)
    async with vault.store.read() as records:
        found = []
        for wanted in (consistent, stretch, both):
            first = await records.points.page(protection, None, 2, wanted)
            rest = await records.points.page(protection, first.next_cursor, 9, wanted)
            items = (*first.items, *rest.items) if first.next_cursor else first.items
            found.append([point.sequence for point in items])
    assert found == [[9, 6, 3], [5, 4, 3], [3]]


async def test_totals_are_those_of_the_present_generation(vault: Vault) -> None:
    protection = await protect(vault)
    await report(vault, 2, 3)
    await report(vault, released=(1,))
    lost = Generation("lost")
    point = recovery_point(1, protection_id=protection.id, generation=lost)
    async with vault.store.write() as records:
        await records.points.apply(PointChanges(protection.id, lost, (point,), ()))
        assert await records.points.totals(protection) == PointTotals(2, 8192, 2)
        nothing = replace(protection, generation=Generation("next"))
        assert await records.points.totals(nothing) == PointTotals(0, 0, 0)


async def test_what_a_target_claims_may_be_too_much_to_add_up(vault: Vault) -> None:
    protection = await protect(vault)
    await report(vault, 2, 3, 4, payload_bytes=MAX_INTEGER)
    async with vault.store.read() as records:
        totals = await records.points.totals(protection)
    assert (totals.count, totals.payload_bytes) == (4, MAX_INTEGER)
