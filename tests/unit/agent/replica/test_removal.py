"""The end of a replica."""

import errno
from pathlib import Path

import pytest

from agent.replica.errors import ReplicaError
from agent.replica.images import VhdxImages
from agent.replica.layout import Layout
from agent.replica.lineage import open_lineage
from agent.replica.removal import disk_name, finish_removal, kept_disks
from replikera.blocks.segment import DiskGeometry, SegmentFormatError
from replikera.ports.files import File
from tests.support.crash_files import CrashFiles
from tests.support.lineages import LineageBench
from tests.support.raw_images import RawImages
from tests.support.seeded_randomness import SeededRandomness
from tests.support.segments import PROTECTION, Write, pass_header

EXPORTS = Path("/exports")
NAMES = ["00-disk-0.img", "01-disk-1.img"]


@pytest.fixture
def bench() -> LineageBench:
    bench = LineageBench()
    bench.files.make_directory(EXPORTS)
    bench.files.sync_directory(Path("/"))
    bench.deliver_many(4)
    return bench


def remove(bench: LineageBench, exports: Path | None = EXPORTS) -> None:
    for _ in bench.lineage.remove(exports):
        pass


def kept(bench: LineageBench) -> tuple[bytes, ...]:
    paths = kept_disks(bench.files, EXPORTS, PROTECTION)
    return tuple(bench.files.read_bytes(path, limit=1 << 20) for path in paths)


def test_nothing_is_left_durably(bench: LineageBench) -> None:
    remove(bench, None)
    assert bench.files.list_directory(bench.layout.folder.parent) == []
    assert not [change for change in bench.files.pending() if "/replicas" in change.description]
    assert kept_disks(bench.files, EXPORTS, PROTECTION) == ()
    assert bench.lineage.is_removed
    with pytest.raises(ReplicaError) as raised:
        bench.deliver_many(1)
    assert raised.value.code == "unknown-protection"


def test_what_was_arriving_is_closed_and_its_space_given_back(
    bench: LineageBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _record_files(bench.files, monkeypatch)
    bench.begin(bench.segment([Write(0, 0, b"a" * 512)]))
    assert [file.path.suffix for file in made] == [".open"]
    remove(bench, None)
    assert [file.path.name for file in made if _is_open(file)] == []


def test_a_pass_that_was_arriving_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = LineageBench()
    made = _record_files(bench.files, monkeypatch)
    header = pass_header(bench.lineage.history.head, bench.disks)
    bench.lineage.passes.begin(header.encode())
    assert made
    remove(bench, None)
    assert [file.path.name for file in made if _is_open(file)] == []


def _record_files(files: CrashFiles, monkeypatch: pytest.MonkeyPatch) -> list[File]:
    made: list[File] = []
    create = files.create

    def recorded(path: Path, *, mode: int = 0o600) -> File:
        made.append(create(path, mode=mode))
        return made[-1]

    monkeypatch.setattr(files, "create", recorded)
    return made


def _is_open(file: File) -> bool:
    try:
        file.size()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("applied", [0, 1, 3])
def test_the_disks_of_the_newest_point_stay_as_plain_files(
    bench: LineageBench, applied: int
) -> None:
    bench.apply(applied)
    remove(bench)
    assert bench.files.list_directory(EXPORTS / PROTECTION) == NAMES
    assert kept(bench) == bench.contents[4]
    assert not [change for change in bench.files.pending() if str(EXPORTS) in change.description]


def test_disks_of_an_interrupted_apply_are_those_of_the_newest_point(bench: LineageBench) -> None:
    bench.interrupt_apply(together=2)
    remove(bench)
    assert kept(bench) == bench.contents[4]


def test_the_base_is_not_copied_where_the_volume_is_the_same(
    bench: LineageBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.apply(together=3)
    written: list[Path] = []
    bench.files.before = lambda operation, path: (
        written.append(path) if operation == "write" and path.is_relative_to(EXPORTS) else None
    )
    remove(bench)
    assert (written, kept(bench)) == ([], bench.contents[4])


def test_and_copied_where_it_is_another(
    bench: LineageBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.apply(together=3)
    linked: list[Path] = []

    def link(source: Path, target: Path) -> None:
        if linked:
            raise OSError(errno.EXDEV, "another volume")
        linked.append(target)
        bench.files.create(target).close()

    monkeypatch.setattr(bench.files, "link", link)
    remove(bench)
    assert kept(bench) == bench.contents[4]


def test_a_damaged_base_is_not_handed_over(bench: LineageBench) -> None:
    bench.apply(together=3)
    bench.damage(bench.layout.images(1) / "00.img", 3000)
    with pytest.raises(ReplicaError) as raised:
        remove(bench)
    assert raised.value.code == "base-damaged"
    assert bench.sequences == [1, 2, 3, 4]
    remove(bench, None)


def test_what_is_pinned_stays(bench: LineageBench) -> None:
    bench.lineage.pin("order-7", 2)
    with pytest.raises(ReplicaError, match="order-7") as raised:
        remove(bench)
    assert raised.value.code == "replica-pinned"
    bench.assert_all_points_are_right()
    bench.lineage.unpin("order-7")
    remove(bench)


def test_a_try_that_failed_leaves_the_replica_and_the_next_one_begins_anew(
    bench: LineageBench,
) -> None:
    def full(operation: str, path: Path) -> None:
        if operation == "write" and path.is_relative_to(EXPORTS):
            raise OSError(errno.ENOSPC, "full")

    bench.files.before = full
    with pytest.raises(ReplicaError) as raised:
        remove(bench)
    bench.files.before = None
    assert raised.value.code == "disk-full"
    bench.deliver_many(1)
    bench.assert_all_points_are_right()
    remove(bench)
    assert kept(bench) == bench.contents[5]


def test_disks_that_were_kept_before_stay(bench: LineageBench) -> None:
    bench.files.make_directory(EXPORTS / PROTECTION)
    bench.files.append(EXPORTS / PROTECTION / "mine", b"x")
    remove(bench)
    assert bench.files.list_directory(EXPORTS / PROTECTION) == ["mine"]
    assert bench.files.list_directory(EXPORTS / f"{PROTECTION}-2") == NAMES
    assert kept(bench) == bench.contents[4]


def test_a_removal_that_was_decided_is_finished_at_the_next_start(bench: LineageBench) -> None:
    def broken(operation: str, path: Path) -> None:
        if operation == "remove" and path.name.endswith(".redo"):
            raise OSError(errno.EIO, "broken")

    bench.files.before = broken
    with pytest.raises(ReplicaError):
        remove(bench)
    bench.files.before = None
    assert bench.lineage.is_removed
    assert finish_removal(bench.files, bench.layout)
    assert not finish_removal(bench.files, bench.layout)
    assert bench.files.list_directory(bench.layout.folder.parent) == []
    assert kept(bench) == bench.contents[4]


def test_a_decision_that_cannot_be_read_removes_nothing(bench: LineageBench) -> None:
    bench.files.append(bench.layout.removal, b"{}")
    with pytest.raises(SegmentFormatError):
        finish_removal(bench.files, bench.layout)
    assert bench.files.status(bench.layout.accepted) is not None


def test_a_folder_without_a_decision_is_left_alone(bench: LineageBench) -> None:
    assert not finish_removal(bench.files, Layout(Path("/replicas/other")))
    assert open_lineage(bench.files, bench.layout.folder, RawImages()) is not None


def test_names_of_kept_disks_are_plain() -> None:
    images = VhdxImages(SeededRandomness(1))
    for name, plain in (
        ("System (C).vhdx", "03-System__C_.vhdx"),
        ("../../etc/passwd", "03-passwd.vhdx"),
        ("ä" * 300, f"03-{'_' * 64}.vhdx"),
    ):
        assert disk_name(3, DiskGeometry("d", name, 512, 512), images) == plain
