"""Promises about views, marks and what changed between them."""

from itertools import pairwise

import pytest

from agent.hypervisor.interface import (
    Consistency,
    HypervisorError,
    Mark,
    TrackingLostError,
)
from replikera.blocks.extents import Extents
from tests.integration.hypervisor.contract import (
    OTHER_TAG,
    TAG,
    HypervisorBench,
    content,
    frozen,
    promise,
)


@promise
async def a_view_is_one_instant_of_all_disks(bench: HypervisorBench) -> None:
    await bench.write(0, 0, b"a" * 4096)
    await bench.write(1, 0, b"b" * 4096)
    view = await frozen(bench)
    before = await content(bench.hypervisor, view)
    await bench.write(0, 0, b"c" * 4096)
    await bench.write(1, 1 << 20, b"d" * 4096)
    assert [data[:1] for data in before] == [b"a", b"b"]
    assert await content(bench.hypervisor, view) == before
    later = await content(bench.hypervisor, await frozen(bench))
    assert [data[:1] for data in later] == [b"c", b"b"]


@promise
async def data_extents_leave_nothing_out(bench: HypervisorBench) -> None:
    await bench.write(0, 3 << 20, b"x" * 512)
    view = await frozen(bench)
    disk = await bench.hypervisor.open_disk(view, view.description.disks[0].disk_id)
    extents = disk.data_extents()
    for offset, length in Extents.whole(disk.size).subtract(extents):
        assert not any(disk.read(length, offset))
    assert extents.intersect(Extents.of([(3 << 20, 512)])).total() == 512
    disk.close()
    disk.close()


@promise
async def changed_ranges_cover_every_difference(bench: HypervisorBench) -> None:
    first = await frozen(bench)
    before = await content(bench.hypervisor, first)
    mark = await bench.hypervisor.keep(first)
    await bench.write(0, 5120, b"1" * 512)
    await bench.write(1, 2 << 20, b"2" * 8192)
    second = await frozen(bench)
    changed = await bench.hypervisor.changed_ranges(second, mark)
    assert list(changed) == [disk.disk_id for disk in second.description.disks]
    after = await content(bench.hypervisor, second)
    for old, new, ranges in zip(before, after, changed.values(), strict=True):
        assert old != new
        assert 0 < ranges.total() < len(new)
        for offset, length in Extents.whole(len(new)).subtract(ranges):
            assert old[offset : offset + length] == new[offset : offset + length]


@promise
async def nothing_written_is_nothing_changed(bench: HypervisorBench) -> None:
    mark = await bench.hypervisor.keep(await frozen(bench))
    changed = await bench.hypervisor.changed_ranges(await frozen(bench), mark)
    assert [ranges.total() for ranges in changed.values()] == [0, 0]


@promise
async def a_restarted_agent_finds_its_views_and_marks(bench: HypervisorBench) -> None:
    mark = await bench.hypervisor.keep(await frozen(bench))
    first, second = await frozen(bench), await frozen(bench)
    other = await frozen(bench, OTHER_TAG)
    again = bench.restarted()
    assert await again.views(TAG) == (first, second)
    assert await again.views(OTHER_TAG) == (other,)
    assert await again.mark(TAG) == mark
    assert await again.mark(OTHER_TAG) is None
    assert len(await content(again, first)) == 2


@promise
async def keep_may_be_repeated(bench: HypervisorBench) -> None:
    view = await frozen(bench)
    mark = await bench.hypervisor.keep(view)
    assert (mark.machine_id, mark.tag) == (bench.machine_id, TAG)
    assert await bench.restarted().keep(view) == mark
    assert await bench.hypervisor.views(TAG) == ()
    assert await bench.hypervisor.mark(TAG) == mark


@promise
async def a_newer_mark_replaces_the_one_before(bench: HypervisorBench) -> None:
    old = await bench.hypervisor.keep(await frozen(bench))
    new = await bench.hypervisor.keep(await frozen(bench))
    assert await bench.hypervisor.mark(TAG) == new != old
    with pytest.raises(TrackingLostError):
        await bench.hypervisor.changed_ranges(await frozen(bench), old)


@promise
async def discard_may_be_repeated_and_leaves_the_mark(bench: HypervisorBench) -> None:
    mark = await bench.hypervisor.keep(await frozen(bench))
    view = await frozen(bench)
    await bench.hypervisor.discard(view)
    await bench.restarted().discard(view)
    assert await bench.hypervisor.views(TAG) == ()
    assert await bench.hypervisor.mark(TAG) == mark


@promise
async def drop_mark_may_be_repeated(bench: HypervisorBench) -> None:
    mark = await bench.hypervisor.keep(await frozen(bench))
    await bench.hypervisor.drop_mark(mark)
    await bench.hypervisor.drop_mark(mark)
    assert await bench.hypervisor.mark(TAG) is None
    with pytest.raises(TrackingLostError):
        await bench.hypervisor.changed_ranges(await frozen(bench), mark)


@promise
async def a_mark_that_nobody_made_is_tracking_lost(bench: HypervisorBench) -> None:
    view = await frozen(bench)
    with pytest.raises(TrackingLostError):
        await bench.hypervisor.changed_ranges(view, Mark("invented", bench.machine_id, TAG))


@promise
async def what_was_written_is_reported_in_order_and_inside_the_disks(
    bench: HypervisorBench,
) -> None:
    mark = await bench.hypervisor.keep(await frozen(bench))
    size = (await bench.hypervisor.describe(bench.machine_id)).description.disks[0].size
    for offset in (size - 512, 3 << 20, 512, 0):
        await bench.write(0, offset, b"x" * 512)
    changed = await bench.hypervisor.changed_ranges(await frozen(bench), mark)
    ranges = list(next(iter(changed.values())))
    assert ranges == sorted(ranges)
    assert all(length > 0 and offset + length <= size for offset, length in ranges)
    assert all(offset + length < after for (offset, length), (after, _) in pairwise(ranges))


@promise
async def all_views_and_marks_are_listed_whatever_their_tag(bench: HypervisorBench) -> None:
    hypervisor = bench.hypervisor
    assert (await hypervisor.all_views(), await hypervisor.marks()) == ((), ())
    first, second = await frozen(bench), await frozen(bench, OTHER_TAG)
    assert await bench.restarted().all_views() == (first, second)
    marks = [await hypervisor.keep(view) for view in (first, second)]
    third = await frozen(bench)
    assert await bench.restarted().all_views() == (third,)
    assert sorted(await bench.restarted().marks(), key=str) == sorted(marks, key=str)
    await hypervisor.drop_mark(marks[0])
    assert await hypervisor.marks() == (marks[1],)


@promise
async def a_view_holds_more_of_the_storage_as_its_machine_is_written(
    bench: HypervisorBench,
) -> None:
    hypervisor = bench.hypervisor
    await bench.write(0, 0, b"a" * 4096)
    view = await frozen(bench)
    assert await hypervisor.view_growth(view) == 0
    await bench.write(0, 0, b"b" * 4096)
    first = await hypervisor.view_growth(view)
    await bench.write(1, 0, b"c" * 4096)
    second = await bench.restarted().view_growth(view)
    assert 0 < first <= second
    assert await hypervisor.view_growth(await frozen(bench)) == 0
    await hypervisor.discard(view)
    with pytest.raises(HypervisorError) as caught:
        await hypervisor.view_growth(view)
    assert caught.value.code == "unknown-view"


@promise
async def a_view_is_application_consistent_where_the_guest_was_ready(
    bench: HypervisorBench,
) -> None:
    await bench.start_guest()
    wanted = Consistency.APPLICATION
    view = await bench.hypervisor.freeze(bench.machine_id, TAG, wanted)
    assert (view.consistency, view.fallback) == (wanted, "")
    plain = await frozen(bench)
    assert (plain.consistency, plain.fallback) == (Consistency.CRASH, "")
    assert await bench.restarted().views(TAG) == (view, plain)
    await bench.hypervisor.power_off(bench.machine_id)


@promise
async def a_view_whose_guest_is_not_there_is_crash_consistent_and_says_why(
    bench: HypervisorBench,
) -> None:
    view = await bench.hypervisor.freeze(bench.machine_id, TAG, Consistency.APPLICATION)
    assert view.consistency is Consistency.CRASH
    assert view.fallback
    assert await bench.restarted().views(TAG) == (view,)


@promise
async def what_leads_around_tracking_is_noticed_and_tracking_begins_anew(
    bench: HypervisorBench,
) -> None:
    hypervisor = bench.hypervisor
    for name, happen in bench.tracking_losses().items():
        await bench.write(0, 0, b"a" * 4096)
        mark = await hypervisor.keep(await frozen(bench))
        await happen()
        view = await frozen(bench)
        with pytest.raises(TrackingLostError, match="tracking|known") as caught:
            await bench.restarted().changed_ranges(view, mark)
        assert caught.value.remedy, name
        again = await hypervisor.keep(view)
        await bench.write(0, 8192, b"b" * 512)
        changed = await hypervisor.changed_ranges(await frozen(bench), again)
        first = next(iter(changed.values()))
        assert 0 < first.total() < 1 << 20, name
        for left in await hypervisor.all_views():
            await hypervisor.discard(left)
