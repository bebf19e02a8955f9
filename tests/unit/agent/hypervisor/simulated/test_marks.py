import pytest

from agent.hypervisor.interface import HypervisorError, Mark
from agent.hypervisor.simulated.machine_folder import MachineFolder
from agent.hypervisor.simulated.marks import Marks
from agent.hypervisor.simulated.state import DiskIdentity, MarkFile, Position
from tests.support.simulated_host import Bed

IDENTITIES = (DiskIdentity("disk", "file", 8 << 20),)


def mark(mark_id: str, tag: str = "one", number: int = 1) -> MarkFile:
    return MarkFile(mark_id, tag, Position(number, "log"), IDENTITIES)


@pytest.fixture
def machine(bed: Bed) -> MachineFolder:
    return bed.machine()


@pytest.fixture
def marks(bed: Bed, machine: MachineFolder) -> Marks:
    return Marks(machine, bed.effects)


def test_a_mark_moves_and_stays(bed: Bed, machine: MachineFolder, marks: Marks) -> None:
    for each in (mark("a"), mark("a"), mark("b", number=2)):
        marks.move(each)
        assert Marks(machine, bed.effects).load("one") == each
    assert bed.logged() == [("mark-moved", "a", "one"), ("mark-moved", "b", "one")]


def test_every_tag_has_one(machine: MachineFolder, marks: Marks) -> None:
    assert (marks.all(), marks.positions(), marks.load("one")) == ([], [], None)
    marks.move(mark("a", "one", 1))
    marks.move(mark("b", "two", 5))
    machine_id = machine.read().description.machine_id
    assert marks.all() == [Mark("a", machine_id, "one"), Mark("b", machine_id, "two")]
    assert [position.number for position in marks.positions()] == [1, 5]


def test_only_the_mark_that_was_meant_is_dropped(bed: Bed, marks: Marks) -> None:
    marks.move(mark("a"))
    older = marks.shown(mark("a"))
    marks.move(mark("b"))
    marks.drop(older)
    newer = marks.shown(mark("b"))
    assert marks.all() == [newer]
    marks.drop(newer)
    marks.drop(newer)
    assert marks.all() == []
    assert [effect for effect, _, _ in bed.logged()].count("mark-dropped") == 1


def test_a_tag_that_could_leave_the_folder_is_refused(marks: Marks) -> None:
    with pytest.raises(HypervisorError, match="tag of a mark"):
        marks.load("../x")
