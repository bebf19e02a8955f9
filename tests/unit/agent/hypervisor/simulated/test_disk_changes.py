from pathlib import Path

import pytest

from agent.hypervisor.interface import HypervisorError, TrackingLostError
from agent.hypervisor.simulated.disk_changes import DiskChanges
from agent.hypervisor.simulated.live_disks import Write
from replikera.machine import MAX_DISKS
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from tests.support.simulated_host import MIB, Bed, live_disk, make_disk, read_disk, write_live

TAG = "protection-1"


class Bench:
    """A machine "web" of two disks, a.vhdx and b.vhdx, with a mark."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.machine = bed.machine(disks=[make_disk(bed.folder / f"{name}.vhdx") for name in "ab"])
        self.changes = DiskChanges(SystemFiles(), SystemRandomness(), bed.host, bed.effects)
        self.views = bed.views(self.machine)
        write_live(self.machine, Write(0, 0, b"1" * 512), Write(1, 0, b"1" * 512))
        self.mark = self.views.keep(self.views.freeze(TAG))
        self.logged = len(bed.logged())

    def disks(self) -> list[tuple[str, int]]:
        return [(disk.name, disk.size) for disk in self.machine.read().description.disks]

    def effects(self) -> list[str]:
        return [effect for effect, _, _ in self.bed.logged()[self.logged :]]

    def is_tracked(self) -> bool:
        """Tell whether a mark from before the change still leads to a view."""
        try:
            self.views.changed_ranges(self.views.freeze(TAG), self.mark)
        except TrackingLostError:
            return False
        return True


@pytest.fixture
def bench(bed: Bed) -> Bench:
    return Bench(bed)


def test_a_disk_is_resized_by_name_or_id(bench: Bench) -> None:
    second = bench.machine.read().description.disks[1].disk_id
    for disk, size in (("a.vhdx", 12 * MIB), (second, 9 * MIB), (second, 9 * MIB)):
        bench.changes.resize("web", disk, size)
    assert bench.disks() == [("a.vhdx", 12 * MIB), ("b.vhdx", 9 * MIB)]
    assert len(read_disk(live_disk(bench.machine))) == 12 * MIB
    assert bench.effects() == ["disk-resized"] * 2
    assert not bench.is_tracked()


def test_a_disk_that_shrinks_back_is_another_one(bench: Bench) -> None:
    bench.changes.resize("web", "a.vhdx", 12 * MIB)
    bench.changes.resize("web", "a.vhdx", 8 * MIB)
    assert bench.disks() == [("a.vhdx", 8 * MIB), ("b.vhdx", 8 * MIB)]
    assert not bench.is_tracked()


def test_a_disk_is_added_behind_the_others(bench: Bench, tmp_path: Path) -> None:
    bench.changes.add("web", make_disk(tmp_path / "c.vhdx", size=5 * MIB), "slow")
    assert bench.disks() == [("a.vhdx", 8 * MIB), ("b.vhdx", 8 * MIB), ("c.vhdx", 5 * MIB)]
    added = bench.machine.read().description.disks[2]
    assert (added.location, added.storage_class) == (2, "slow")
    assert live_disk(bench.machine, 2).is_file()
    assert not bench.is_tracked()
    assert bench.effects()[0] == "disk-added"


def test_a_disk_is_removed_with_its_file(bench: Bench) -> None:
    first = live_disk(bench.machine)
    view = bench.views.freeze(TAG)
    bench.changes.remove("web", "a.vhdx")
    assert bench.disks() == [("b.vhdx", 8 * MIB)]
    assert not first.exists()
    # What was frozen before has it still.
    bench.views.open_disk(view, view.description.disks[0].disk_id).close()
    assert not bench.is_tracked()


def test_a_disk_that_was_removed_and_added_again_is_another_one(
    bench: Bench, tmp_path: Path
) -> None:
    aside = tmp_path / "b.vhdx"
    aside.write_bytes(live_disk(bench.machine, 1).read_bytes())
    bench.changes.remove("web", "b.vhdx")
    bench.changes.add("web", aside)
    assert bench.disks() == [("a.vhdx", 8 * MIB), ("b.vhdx", 8 * MIB)]
    assert not bench.is_tracked()


def test_a_file_elsewhere_stays(bench: Bench, tmp_path: Path) -> None:
    elsewhere = make_disk(tmp_path / "elsewhere.vhdx")
    path = bench.machine.path / "machine.json"
    path.write_text(path.read_text().replace("disks/b.vhdx", str(elsewhere)))
    bench.changes.remove("web", "b.vhdx")
    assert elsewhere.is_file()


def test_what_is_refused_changes_nothing(bench: Bench, tmp_path: Path) -> None:
    before = bench.machine.read()
    bad = tmp_path / "bad.vhdx"
    bad.write_bytes(b"junk")
    write_live(bench.machine, Write(0, 7 * MIB, b"1" * 512))
    for act, code in (
        (lambda: bench.changes.resize("nobody", "a.vhdx", 9 * MIB), "unknown-machine"),
        (lambda: bench.changes.resize("web", "z.vhdx", 9 * MIB), "unknown-disk"),
        (lambda: bench.changes.resize("web", "a.vhdx", 4 * MIB), "disk-in-use"),
        (lambda: bench.changes.resize("web", "a.vhdx", 9 * MIB + 1), "bad-disk"),
        (lambda: bench.changes.add("web", bad), "bad-disk"),
        (lambda: bench.changes.remove("web", "z.vhdx"), "unknown-disk"),
    ):
        with pytest.raises(HypervisorError) as caught:
            act()  # type: ignore[no-untyped-call]
        assert caught.value.code == code
    assert bench.machine.read() == before
    assert bench.is_tracked()


def test_a_name_that_two_disks_have_is_not_enough(bench: Bench, tmp_path: Path) -> None:
    bench.changes.add("web", make_disk(tmp_path / "c.vhdx"))
    path = bench.machine.path / "machine.json"
    path.write_text(path.read_text().replace('"name": "c.vhdx"', '"name": "a.vhdx"'))
    with pytest.raises(HypervisorError, match="2 disks that are called a.vhdx"):
        bench.changes.remove("web", "a.vhdx")


def test_the_disks_of_a_running_machine_stay_as_they_are(bench: Bench, tmp_path: Path) -> None:
    disk = make_disk(tmp_path / "c.vhdx")
    with SystemFiles().lock(bench.machine.guest_lock):
        for act in (
            lambda: bench.changes.resize("web", "a.vhdx", 9 * MIB),
            lambda: bench.changes.add("web", disk),
            lambda: bench.changes.remove("web", "a.vhdx"),
        ):
            with pytest.raises(HypervisorError) as caught:
                act()  # type: ignore[no-untyped-call]
            assert caught.value.code == "still-running"


def test_a_machine_has_no_more_disks_than_a_description_may(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_DISKS > 2
    monkeypatch.setattr("agent.hypervisor.simulated.disk_changes.MAX_DISKS", 2)
    with pytest.raises(HypervisorError) as caught:
        bench.changes.add("web", make_disk(tmp_path / "c.vhdx"))
    assert caught.value.code == "too-many-disks"
