import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.hypervisor.interface import (
    Consistency,
    HypervisorError,
    Mark,
    TrackingLostError,
    View,
)
from agent.hypervisor.simulated.live_disks import LiveDisks, Write
from agent.hypervisor.simulated.machine_changes import MachineChanges
from agent.hypervisor.simulated.machine_folder import MachineFolder, open_disk
from agent.hypervisor.simulated.over_reporting import over_reported
from replikera.blocks.extents import Extents
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from replikera.vhdx import create_child, open_image
from tests.support.simulated_host import (
    MIB,
    Bed,
    KilledError,
    MortalFiles,
    live_disk,
    make_disk,
    read_disk,
    write_live,
)

TAG = "protection-1"


@pytest.fixture
def machine(bed: Bed) -> MachineFolder:
    return bed.machine()


def effects(bed: Bed) -> list[str]:
    log = bed.host.root / "effects.log"
    return (
        [json.loads(line)["effect"] for line in log.read_text().splitlines()]
        if log.exists()
        else []
    )


def reported(*written: tuple[int, int]) -> Extents:
    """Return how ranges that were written are reported."""
    return over_reported(Extents.of(written), 8 * MIB)


def frozen_content(bed: Bed, machine: MachineFolder, view: View) -> bytes:
    disk = bed.views(machine).open_disk(view, view.description.disks[0].disk_id)
    try:
        return disk.read(disk.size, 0)
    finally:
        disk.close()


def test_a_view_stays_what_it_was(bed: Bed, machine: MachineFolder) -> None:
    write_live(machine, Write(0, 0, b"before" + bytes(506)))
    expected = read_disk(live_disk(machine))
    view = bed.views(machine).freeze(TAG)
    write_live(machine, Write(0, 0, b"after!" + bytes(506)), Write(0, 6 * MIB, b"x" * 4096))
    assert frozen_content(bed, machine, view) == expected
    assert read_disk(live_disk(machine))[:6] == b"after!"


def test_a_view_describes_the_machine(bed: Bed, machine: MachineFolder) -> None:
    view = bed.views(machine).freeze(TAG)
    assert view.description == machine.read().description
    assert (view.machine_id, view.tag) == (view.description.machine_id, TAG)
    assert view.taken_at.tzinfo is not None
    assert bed.views(machine).all() == [view]


def test_a_grown_disk_is_described_as_it_is_and_needs_a_resync(
    bed: Bed, machine: MachineFolder
) -> None:
    views = bed.views(machine)
    mark = views.keep(views.freeze(TAG))
    live = live_disk(machine)
    with open_image(SystemFiles().open_read(live)) as image:
        old_id = image.disk_id
    live.unlink()
    make_disk(live, size=16 * MIB)
    view = views.freeze(TAG)
    assert view.description.disks[0].size == 16 * MIB
    with open_image(SystemFiles().open_read(live)) as image:
        assert image.disk_id != old_id
    with pytest.raises(TrackingLostError, match="not those of the mark"):
        views.changed_ranges(view, mark)


def test_changed_ranges_cover_what_differs(bed: Bed, machine: MachineFolder) -> None:
    views = bed.views(machine)
    write_live(machine, Write(0, MIB, b"0" * 512))
    first = views.freeze(TAG)
    mark = views.keep(first)
    write_live(machine, Write(0, 512, b"1" * 512))
    second = views.freeze(TAG)
    write_live(machine, Write(0, 2 * MIB, b"2" * 512))
    third = views.freeze(TAG)
    disk_id = third.description.disks[0].disk_id
    assert views.changed_ranges(second, mark) == {disk_id: reported((0, 512))}
    assert views.changed_ranges(third, mark) == {disk_id: reported((0, 512), (2 * MIB, 512))}


def test_a_discarded_views_changes_belong_to_the_next(bed: Bed, machine: MachineFolder) -> None:
    views = bed.views(machine)
    mark = views.keep(views.freeze(TAG))
    write_live(machine, Write(0, 0, b"1" * 512))
    views.discard(views.freeze(TAG))
    view = views.freeze(TAG)
    (changed,) = views.changed_ranges(view, mark).values()
    assert changed == reported((0, 512))


def test_tags_have_marks_of_their_own(bed: Bed, machine: MachineFolder) -> None:
    views = bed.views(machine)
    first = views.keep(views.freeze("one"))
    write_live(machine, Write(0, 0, b"1" * 512))
    views.keep(views.freeze("two"))
    view = views.freeze("one")
    assert views.mark("one") == first
    (changed,) = views.changed_ranges(view, first).values()
    assert changed == reported((0, 512))
    other = views.mark("two")
    assert other is not None
    assert views.changed_ranges(view, other)[view.description.disks[0].disk_id] == Extents.empty()


def test_an_old_mark_is_not_believed(bed: Bed, machine: MachineFolder) -> None:
    views = bed.views(machine)
    old = views.keep(views.freeze(TAG))
    views.keep(views.freeze(TAG))
    with pytest.raises(TrackingLostError, match="is gone"):
        views.changed_ranges(views.freeze(TAG), old)


def test_keeping_twice_is_keeping_once(bed: Bed, machine: MachineFolder) -> None:
    views = bed.views(machine)
    view = views.freeze(TAG)
    mark = views.keep(view)
    before = effects(bed)
    assert bed.views(machine).keep(view) == mark == views.mark(TAG)
    assert effects(bed) == before
    assert mark.machine_id == view.machine_id


def test_a_view_that_went_without_being_kept_cannot_be_kept(
    bed: Bed, machine: MachineFolder
) -> None:
    views = bed.views(machine)
    view = views.freeze(TAG)
    views.discard(view)
    with pytest.raises(HypervisorError) as caught:
        views.keep(view)
    assert caught.value.code == "unknown-view"
    assert views.mark(TAG) is None


def test_discarding_twice_is_discarding_once(bed: Bed, machine: MachineFolder) -> None:
    views = bed.views(machine)
    view = views.freeze(TAG)
    views.discard(view)
    before = effects(bed)
    views.discard(view)
    assert effects(bed) == before
    assert list(machine.views_path.iterdir()) == []


def test_a_dropped_mark_is_gone_and_a_newer_one_stays(bed: Bed, machine: MachineFolder) -> None:
    views = bed.views(machine)
    old = views.keep(views.freeze(TAG))
    new = views.keep(views.freeze(TAG))
    views.drop_mark(old)
    assert views.mark(TAG) == new
    views.drop_mark(new)
    views.drop_mark(new)
    assert views.mark(TAG) is None
    assert effects(bed).count("mark-dropped") == 1


def test_logs_go_when_nobody_can_ask_for_them(bed: Bed, machine: MachineFolder) -> None:
    views = bed.views(machine)
    tracking = machine.path / "tracking"
    views.keep(views.freeze(TAG))
    for _ in range(3):
        views.discard(views.freeze("other"))
    assert len(list(tracking.glob("*.ranges"))) == 4
    mark = views.keep(views.freeze(TAG))
    assert len(list(tracking.glob("*.ranges"))) == 1
    views.discard(views.freeze("other"))
    assert len(list(tracking.glob("*.ranges"))) == 2
    views.drop_mark(mark)
    assert len(list(tracking.glob("*.ranges"))) == 1


def test_a_view_cannot_be_asked_for_a_disk_it_does_not_have(
    bed: Bed, machine: MachineFolder
) -> None:
    views = bed.views(machine)
    view = views.freeze(TAG)
    with pytest.raises(HypervisorError) as caught:
        views.open_disk(view, "another")
    assert caught.value.code == "unknown-disk"
    views.discard(view)
    with pytest.raises(HypervisorError) as caught:
        views.open_disk(view, view.description.disks[0].disk_id)
    assert caught.value.code == "unknown-view"


def test_tags_that_could_leave_the_folder_are_refused(bed: Bed, machine: MachineFolder) -> None:
    views = bed.views(machine)
    with pytest.raises(HypervisorError, match="cannot be the tag"):
        views.freeze("../x")
    with pytest.raises(HypervisorError, match="cannot be the tag"):
        views.mark("../x")


def test_a_disk_that_cannot_be_frozen_leaves_no_view(bed: Bed, machine: MachineFolder) -> None:
    live_disk(machine).write_bytes(b"no disk at all")
    views = bed.views(machine)
    with pytest.raises(HypervisorError, match="is not a VHDX") as caught:
        views.freeze(TAG)
    assert caught.value.code == "bad-disk"
    assert views.all() == []
    assert list(machine.views_path.iterdir()) == []


def test_freezing_takes_no_time_that_grows_with_the_disk(bed: Bed, machine: MachineFolder) -> None:
    view = bed.views(machine).freeze(TAG)
    linked = machine.views_path / view.view_id / f"{view.description.disks[0].disk_id}.vhdx"
    assert linked.stat().st_ino == live_disk(machine).stat().st_ino


def crashes(
    bed: Bed, machine: MachineFolder, act: Callable[[MachineFolder, SystemFiles], None]
) -> Iterator[int]:
    """Do the same with a process that dies one step later every time, until it is done."""
    for step in range(1, 200):
        files = MortalFiles(step)
        try:
            act(MachineFolder(files, SystemRandomness(), machine.path), files)
        except KilledError:
            yield step
        else:
            assert step > 2
            return
    pytest.fail("the act does not end")


@pytest.mark.parametrize("keep_views", [0, 3])
def test_keep_tells_the_truth_after_a_kill_at_any_step(
    bed: Bed, machine: MachineFolder, keep_views: int
) -> None:
    views = bed.views(machine, keep_views=keep_views)
    old = views.keep(views.freeze(TAG))
    write_live(machine, Write(0, 0, b"1" * 512))
    view = views.freeze(TAG)

    def keep(_: MachineFolder, files: SystemFiles) -> None:
        bed.views(machine, keep_views=keep_views, files=files).keep(view)

    seen: set[tuple[bool, bool]] = set()
    for _ in crashes(bed, machine, keep):
        mark, is_there = views.mark(TAG), view in views.all()
        seen.add((mark == old, is_there))
        assert mark is not None
        # Either nothing happened yet, or the mark is the view's; an ended view implies its mark.
        assert mark == old or mark.mark_id == view.view_id
        assert is_there or mark.mark_id == view.view_id
        if mark == old:
            (changed,) = views.changed_ranges(view, old).values()
            assert changed == reported((0, 512))
        if is_there:
            assert frozen_content(bed, machine, view)[:512] == b"1" * 512
    assert seen == {(True, True), (False, True), (False, False)}
    mark = views.keep(view)
    assert views.all() == []
    assert list(machine.views_path.iterdir()) == []
    write_live(machine, Write(0, MIB, b"2" * 512))
    (changed,) = views.changed_ranges(views.freeze(TAG), mark).values()
    assert changed == reported((MIB, 512))


def test_discard_tells_the_truth_after_a_kill_at_any_step(bed: Bed, machine: MachineFolder) -> None:
    views = bed.views(machine)
    mark = views.keep(views.freeze(TAG))
    write_live(machine, Write(0, 0, b"1" * 512))
    view = views.freeze(TAG)

    def discard(_: MachineFolder, files: SystemFiles) -> None:
        bed.views(machine, files=files).discard(view)

    seen = set()
    for _ in crashes(bed, machine, discard):
        assert views.mark(TAG) == mark
        seen.add(view in views.all())
        if view in views.all():
            assert frozen_content(bed, machine, view)[:512] == b"1" * 512
    assert seen == {True, False}
    assert list(machine.views_path.iterdir()) == []
    (changed,) = views.changed_ranges(views.freeze(TAG), mark).values()
    assert changed == reported((0, 512))


def test_freeze_loses_nothing_after_a_kill_at_any_step(bed: Bed, machine: MachineFolder) -> None:
    views = bed.views(machine)
    mark: Mark = views.keep(views.freeze(TAG))
    written: list[tuple[int, int]] = []

    def freeze(_: MachineFolder, files: SystemFiles) -> None:
        bed.views(machine, files=files).freeze(TAG)

    for step in crashes(bed, machine, freeze):
        for found in views.all():
            (changed,) = views.changed_ranges(found, mark).values()
            assert Extents.of(written).subtract(changed) == Extents.empty()
            views.discard(found)
        written.append((step * 4096, 512))
        write_live(machine, Write(0, step * 4096, b"1" * 512))
    view = views.all()[-1]
    (changed,) = views.changed_ranges(view, mark).values()
    assert changed == reported(*written)
    assert [path.name for path in machine.views_path.iterdir()] == [view.view_id]


def disk_file(machine: MachineFolder, view: View, index: int = 0) -> Path:
    return machine.views_path / view.view_id / f"{view.description.disks[index].disk_id}.vhdx"


def test_a_view_grows_by_the_files_that_its_machine_has_left(bed: Bed) -> None:
    disks = [make_disk(bed.folder / f"{name}.vhdx", {0: b"x" * MIB}) for name in "ab"]
    machine = bed.machine(disks=disks)
    views = bed.views(machine)
    first, second = views.freeze(TAG), views.freeze("other")
    assert [views.growth(view) for view in (first, second)] == [0, 0]
    write_live(machine, Write(1, 0, b"1" * 512))
    held = disk_file(machine, first, 1).stat().st_blocks * 512
    assert held >= MIB
    # Both hold the file that the machine left, though they share it.
    assert [views.growth(view) for view in (first, second)] == [held, held]
    write_live(machine, Write(0, 0, b"1" * 512))
    assert views.growth(first) == held + disk_file(machine, first, 0).stat().st_blocks * 512
    third = views.freeze(TAG)
    assert views.growth(third) == 0
    views.discard(first)
    with pytest.raises(HypervisorError) as caught:
        views.growth(first)
    assert caught.value.code == "unknown-view"


def test_a_view_grows_while_its_machine_is_written(bed: Bed, machine: MachineFolder) -> None:
    views = bed.views(machine)
    disks = LiveDisks(machine)
    disks.write([Write(0, 0, b"1" * 512)])
    view = views.freeze(TAG)
    assert views.growth(view) == 0
    disks.write([Write(0, 0, b"2" * 512)])
    assert views.growth(view) > 0
    disks.close()


def test_where_tracking_is_lost_a_view_counts_whole(bed: Bed, machine: MachineFolder) -> None:
    views = bed.views(machine)
    view = views.freeze(TAG)
    machine.tracking.lose()
    assert views.growth(view) == disk_file(machine, view).stat().st_blocks * 512


def test_a_view_says_how_consistent_it_is(bed: Bed, machine: MachineFolder) -> None:
    views = bed.views(machine)
    crash = views.freeze(TAG)
    ready = views.freeze(TAG, lambda: "")
    unready = views.freeze(TAG, lambda: "the guest is asleep")
    assert [(view.consistency, view.fallback) for view in (crash, ready, unready)] == [
        (Consistency.CRASH, ""),
        (Consistency.APPLICATION, ""),
        (Consistency.CRASH, "the guest is asleep"),
    ]
    assert bed.views(machine).all() == [crash, ready, unready]


def test_the_guest_is_looked_at_under_the_lock(bed: Bed, machine: MachineFolder) -> None:
    seen = []

    def unreadiness() -> str:
        seen.append(SystemFiles().is_locked(machine.path / "lock"))
        return ""

    bed.views(machine).freeze(TAG, unreadiness)
    assert seen == [True]


def test_a_machine_without_disks_has_no_view(bed: Bed, machine: MachineFolder) -> None:
    machine_id = machine.read().description.machine_id
    MachineChanges(SystemFiles(), bed.host, bed.effects).detach_disks(machine_id)
    with pytest.raises(HypervisorError, match="has no disks") as caught:
        bed.views(machine).freeze(TAG)
    assert caught.value.code == "no-disks"


def test_a_machine_on_a_differencing_disk_has_no_view(bed: Bed, machine: MachineFolder) -> None:
    path = live_disk(machine)
    parent = path.with_name("parent.vhdx")
    path.rename(parent)
    with open_image(SystemFiles().open_read(parent)) as above:
        create_child(
            SystemFiles().create(path), above, parent_path=parent, randomness=SystemRandomness()
        ).close()
    with pytest.raises(HypervisorError, match="differencing") as caught:
        bed.views(machine).freeze(TAG)
    assert caught.value.code == "bad-disk"
    assert bed.views(machine).all() == []


def test_a_disk_that_was_written_past_the_tracking_logs_is_noticed(
    bed: Bed, machine: MachineFolder
) -> None:
    views = bed.views(machine)
    write_live(machine, Write(0, 0, b"1" * 512))
    before = views.keep(views.freeze(TAG))
    with open_disk(SystemFiles(), live_disk(machine), SystemRandomness()) as image:
        image.write(b"?" * 512, MIB)
    view = views.freeze(TAG)
    with pytest.raises(TrackingLostError):
        views.changed_ranges(view, before)
    after = views.keep(view)
    write_live(machine, Write(0, 0, b"2" * 512))
    assert list(views.changed_ranges(views.freeze(TAG), after).values()) == [reported((0, 512))]


def test_a_disk_that_was_put_back_by_hand_is_noticed(bed: Bed, machine: MachineFolder) -> None:
    views = bed.views(machine)
    write_live(machine, Write(0, 0, b"1" * 512))
    aside = bed.folder / "aside.vhdx"
    shutil.copy(live_disk(machine), aside)
    write_live(machine, Write(0, 0, b"2" * 512))
    mark = views.keep(views.freeze(TAG))
    shutil.copy(aside, live_disk(machine))
    with pytest.raises(TrackingLostError):
        views.changed_ranges(views.freeze(TAG), mark)
