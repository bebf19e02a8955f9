from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from agent.hypervisor.interface import Consistency, HypervisorError, Mark, TrackingLostError
from agent.source.capture import Capture, Capturer, check_disks, ordered_disks
from agent.source.errors import DisksChangedError, ResyncRequiredError
from replikera.blocks.extents import Extents
from replikera.blocks.segment import DiskGeometry, SegmentFormatError
from replikera.machine import MAX_DESCRIPTION_BYTES, parse_machine_description
from tests.support.fake_hypervisor import MACHINE_ID, FakeHypervisor, describe
from tests.support.source_rig import ASSIGNMENT, PROTECTION
from tests.support.virtual_clock import InlineWorker, VirtualClock

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SIZES = {"disk-a": 1 << 20, "disk-b": 4096 * 3}
HOSTILE = "../../etc/\x00\n\x1b[2J\u202ename" + "x" * 300


class Rig:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.hypervisor = FakeHypervisor(self.clock, describe(SIZES))
        self.capturer = Capturer(self.hypervisor, InlineWorker(), self.clock)
        self.assignment = ASSIGNMENT

    async def freeze(self, known: tuple[DiskGeometry, ...] = ()) -> Capture:
        return await self.capturer.freeze(self.assignment, known)

    async def marked(self) -> Mark:
        capture = await self.freeze()
        return await self.hypervisor.keep(capture.view)


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_a_capture_knows_what_is_allocated(rig: Rig) -> None:
    rig.hypervisor.write("disk-a", 70_000, b"x")
    capture = await rig.freeze()
    assert [disk.allocated for disk in capture.disks] == [
        Extents.of([(65536, 65536)]),
        Extents.empty(),
    ]
    assert capture.machine == rig.hypervisor.description.to_json()
    assert [disk.disk_id for disk in capture.geometries] == ["disk-a", "disk-b"]
    await capture.close()
    assert all(disk.is_closed for disk in rig.hypervisor.opened)
    await capture.close()


async def test_changes_are_widened_to_whole_sectors(rig: Rig) -> None:
    mark = await rig.marked()
    rig.hypervisor.changed_filter = lambda _found: {
        "disk-a": Extents.of([(700, 10)]),
        "disk-b": Extents.empty(),
    }
    capture = await rig.freeze()
    changes = await rig.capturer.changes(capture, mark)
    assert changes == (Extents.of([(512, 512)]), Extents.empty())


async def test_the_capture_starts_before_the_freeze_and_ends_at_the_view(rig: Rig) -> None:
    rig.hypervisor.before_freeze = lambda: rig.clock.advance(3)
    capture = await rig.freeze()
    assert capture.started_at == NOW
    assert capture.view.taken_at > NOW + timedelta(seconds=3)


async def test_a_clock_set_back_never_makes_a_capture_start_after_its_end(rig: Rig) -> None:
    rig.hypervisor.before_freeze = lambda: rig.clock.advance(-60)
    capture = await rig.freeze()
    assert capture.started_at == capture.view.taken_at < NOW


async def test_the_consistency_that_was_asked_for_is_passed_on(rig: Rig) -> None:
    capture = await rig.capturer.freeze(rig.assignment, (), Consistency.APPLICATION)
    assert capture.view.consistency is Consistency.APPLICATION
    assert rig.hypervisor.asked == [Consistency.APPLICATION]


async def test_an_older_view_is_opened_again_as_it_was(rig: Rig) -> None:
    first = await rig.freeze()
    again = await rig.capturer.adopt(first.view, NOW, rig.assignment, first.geometries)
    assert (again.started_at, again.machine_digest) == (NOW, first.machine_digest)
    assert len(rig.hypervisor.history) == 1


async def test_disks_opened_before_a_failing_one_are_closed(rig: Rig) -> None:
    original = rig.hypervisor.open_disk
    opened: list[str] = []

    async def failing(view: object, disk_id: str) -> object:
        if opened:
            raise HypervisorError("gone", "The disk is gone.", "Look for it.")
        opened.append(disk_id)
        return await original(view, disk_id)  # type: ignore[arg-type]  # passed on as it came

    rig.hypervisor.open_disk = failing  # type: ignore[assignment,method-assign]  # fails once
    with pytest.raises(HypervisorError):
        await rig.freeze()
    assert [disk.is_closed for disk in rig.hypervisor.opened] == [True]


async def test_a_view_whose_disk_has_another_size_than_described_is_refused(rig: Rig) -> None:
    rig.hypervisor.disks["disk-b"] += bytes(512)
    with pytest.raises(
        HypervisorError, match=r"disk-b.vhdx has 12800 bytes in the view, not 12288"
    ):
        await rig.freeze()


async def test_a_view_of_another_machine_is_refused(rig: Rig) -> None:
    original = rig.hypervisor.freeze

    async def other(_machine_id: str, _tag: str, _consistency: Consistency) -> object:
        return await original(MACHINE_ID, "somebody-else")

    rig.hypervisor.freeze = other  # type: ignore[assignment,method-assign]  # answers with another's view
    with pytest.raises(ResyncRequiredError) as raised:
        await rig.freeze()
    assert raised.value.failure.code == "view-foreign"


async def test_disks_keep_the_order_of_the_first_point(rig: Rig) -> None:
    known = (await rig.freeze()).geometries
    rig.hypervisor.description = describe({"disk-b": 4096 * 3, "disk-a": 1 << 20})
    capture = await rig.freeze(known)
    assert [disk.disk_id for disk in capture.geometries] == ["disk-a", "disk-b"]
    assert [disk.reader.size for disk in capture.disks] == [1 << 20, 4096 * 3]


@pytest.mark.parametrize(
    ("sizes", "problem"),
    [
        ({"disk-a": 1 << 20}, "disk-b.vhdx is gone"),
        ({**SIZES, "disk-c": 512}, "disk-c.vhdx is new"),
        ({**SIZES, "disk-b": 8192}, "disk-b.vhdx has 8192 bytes .* 12288"),
    ],
)
async def test_other_disks_are_named(rig: Rig, sizes: dict[str, int], problem: str) -> None:
    known = (await rig.freeze()).geometries
    rig.hypervisor.description = describe(sizes)
    with pytest.raises(DisksChangedError, match=problem) as raised:
        await rig.freeze(known)
    assert raised.value.failure.code == "disks-changed"
    assert "enable it again" in raised.value.failure.remedy
    with pytest.raises(DisksChangedError, match=problem):
        check_disks(rig.hypervisor.description, rig.assignment, known)


async def test_excluded_disks_are_neither_opened_nor_described(rig: Rig) -> None:
    rig.assignment = replace(ASSIGNMENT, excluded_disk_ids=("disk-a", "unknown"))
    capture = await rig.freeze()
    assert [disk.disk_id for disk in capture.geometries] == ["disk-b"]
    described = parse_machine_description(capture.machine)
    assert [disk.disk_id for disk in described.disks] == ["disk-b"]
    with pytest.raises(DisksChangedError, match=r"disk-a.vhdx is new"):
        check_disks(rig.hypervisor.description, ASSIGNMENT, capture.geometries)
    check_disks(rig.hypervisor.description, rig.assignment, capture.geometries)


async def test_a_hostile_name_is_sent_as_it_is_and_shown_harmless(rig: Rig) -> None:
    known = (await rig.freeze()).geometries
    rig.hypervisor.description = replace(rig.hypervisor.description, name=HOSTILE)
    capture = await rig.freeze(known)
    assert parse_machine_description(capture.machine).name == HOSTILE
    changed = replace(describe({"disk-a": 512}), name=HOSTILE)
    with pytest.raises(DisksChangedError) as raised:
        ordered_disks(changed, known)
    assert raised.value.failure.cause.isprintable()
    assert len(raised.value.failure.cause) < 500


@pytest.mark.parametrize("name", ["\ud800", "x" * MAX_DESCRIPTION_BYTES])
async def test_a_name_that_no_description_can_have_is_told(rig: Rig, name: str) -> None:
    rig.hypervisor.description = replace(rig.hypervisor.description, name=name)
    with pytest.raises(SegmentFormatError, match="its description"):
        await rig.freeze()
    assert all(disk.is_closed for disk in rig.hypervisor.opened)


@pytest.mark.parametrize(
    ("report", "code"),
    [
        ({"disk-a": Extents.empty()}, "changes-incomplete"),
        (
            {"disk-a": Extents.empty(), "disk-b": Extents.of([(8192, 8192)])},
            "changes-out-of-bounds",
        ),
    ],
)
async def test_doubtful_changes_are_refused(
    rig: Rig, report: dict[str, Extents], code: str
) -> None:
    mark = await rig.marked()
    rig.hypervisor.changed_filter = lambda _found: report
    capture = await rig.freeze()
    with pytest.raises(ResyncRequiredError) as raised:
        await rig.capturer.changes(capture, mark)
    assert raised.value.failure.code == code


async def test_lost_tracking_is_told_as_that(rig: Rig) -> None:
    capture = await rig.freeze()
    with pytest.raises(TrackingLostError):
        await rig.capturer.changes(capture, Mark("other", MACHINE_ID, PROTECTION))
