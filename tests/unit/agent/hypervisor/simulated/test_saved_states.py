import pytest

from agent.hypervisor.interface import HypervisorError, TrackingLostError
from agent.hypervisor.simulated.disk_changes import DiskChanges
from agent.hypervisor.simulated.live_disks import Write
from agent.hypervisor.simulated.machine_folder import MachineFolder
from agent.hypervisor.simulated.saved_states import SavedStates
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
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


def states(bed: Bed) -> SavedStates:
    return SavedStates(SystemFiles(), bed.host, bed.effects)


def two_disks(bed: Bed) -> MachineFolder:
    return bed.machine(disks=[make_disk(bed.folder / f"{name}.vhdx") for name in "ab"])


def write(machine: MachineFolder, content: bytes) -> None:
    write_live(machine, *(Write(disk, 0, content * 512) for disk in range(2)))


def first_bytes(machine: MachineFolder) -> list[bytes]:
    return [read_disk(live_disk(machine, index))[:1] for index in range(2)]


def test_a_machine_is_put_back_to_what_it_was(bed: Bed) -> None:
    machine = two_disks(bed)
    write(machine, b"1")
    states(bed).save("web", "early")
    write(machine, b"2")
    states(bed).save("web", "late")
    write(machine, b"3")
    for name, content in (("early", b"1"), ("late", b"2"), ("early", b"1")):
        states(bed).revert("web", name)
        assert first_bytes(machine) == [content] * 2
    write(machine, b"4")
    states(bed).revert("web", "early")
    assert first_bytes(machine) == [b"1"] * 2
    assert [effect for effect, _, _ in bed.logged()] == ["state-saved"] * 2 + [
        "machine-reverted"
    ] * 4


def test_a_state_is_replaced_by_one_of_the_same_name(bed: Bed) -> None:
    machine = two_disks(bed)
    for content in (b"1", b"2"):
        write(machine, content)
        states(bed).save("web", "before")
    write(machine, b"3")
    states(bed).revert("web", "before")
    assert first_bytes(machine) == [b"2"] * 2


def test_no_tracking_leads_across_a_revert(bed: Bed) -> None:
    machine = two_disks(bed)
    views = bed.views(machine)
    write(machine, b"1")
    states(bed).save("web", "before")
    mark = views.keep(views.freeze(TAG))
    write(machine, b"2")
    frozen = views.freeze(TAG)
    states(bed).revert("web", "before")
    # What was frozen before is as it was, and still known.
    assert len(views.changed_ranges(frozen, mark)) == 2
    view = views.freeze(TAG)
    with pytest.raises(TrackingLostError):
        views.changed_ranges(view, mark)
    later = views.keep(view)
    assert [each.total() for each in views.changed_ranges(views.freeze(TAG), later).values()] == [
        0,
        0,
    ]


def test_a_revert_that_leads_to_the_same_content_has_lost_tracking_too(bed: Bed) -> None:
    machine = two_disks(bed)
    views = bed.views(machine)
    write(machine, b"1")
    mark = views.keep(views.freeze(TAG))
    states(bed).save("web", "now")
    states(bed).revert("web", "now")
    with pytest.raises(TrackingLostError):
        views.changed_ranges(views.freeze(TAG), mark)


def test_sizes_go_back_too(bed: Bed) -> None:
    machine = two_disks(bed)
    states(bed).save("web", "small")
    changes = DiskChanges(SystemFiles(), SystemRandomness(), bed.host, bed.effects)
    changes.resize("web", "a.vhdx", 12 * MIB)
    states(bed).revert("web", "small")
    assert [disk.size for disk in machine.read().description.disks] == [8 * MIB] * 2


def test_a_state_of_other_disks_is_refused(bed: Bed) -> None:
    machine = two_disks(bed)
    states(bed).save("web", "two")
    changes = DiskChanges(SystemFiles(), SystemRandomness(), bed.host, bed.effects)
    changes.remove("web", "b.vhdx")
    before = read_disk(live_disk(machine))
    with pytest.raises(HypervisorError) as caught:
        states(bed).revert("web", "two")
    assert caught.value.code == "other-disks"
    assert read_disk(live_disk(machine)) == before


def test_what_is_not_there_is_named(bed: Bed) -> None:
    two_disks(bed)
    for machine, name, code in (
        ("nobody", "s", "unknown-machine"),
        ("web", "s", "unknown-state"),
        ("web", "../s", "bad-name"),
    ):
        with pytest.raises(HypervisorError) as caught:
            states(bed).revert(machine, name)
        assert caught.value.code == code
    with pytest.raises(HypervisorError, match="cannot be the name of a state"):
        states(bed).save("web", "../s")


def test_a_running_machine_is_saved_but_not_reverted(bed: Bed) -> None:
    machine = two_disks(bed)
    with SystemFiles().lock(machine.guest_lock):
        states(bed).save("web", "now")
        with pytest.raises(HypervisorError) as caught:
            states(bed).revert("web", "now")
    assert caught.value.code == "still-running"


def test_a_revert_that_was_cut_off_shows_and_is_done_again(bed: Bed) -> None:
    machine = two_disks(bed)
    views = bed.views(machine)
    write(machine, b"1")
    states(bed).save("web", "before")
    write(machine, b"2")
    mark = views.keep(views.freeze(TAG))
    for step in range(1, 60):
        mortal = SavedStates(MortalFiles(step), bed.host, bed.effects)
        try:
            mortal.revert("web", "before")
        except KilledError:
            if first_bytes(machine) != [b"2"] * 2:
                with pytest.raises(TrackingLostError):
                    views.changed_ranges(views.freeze(TAG), mark)
        else:
            break
    assert step > 4
    assert first_bytes(machine) == [b"1"] * 2
