from datetime import UTC, datetime, timedelta

import pytest

from agent.hypervisor.interface import HypervisorError, Mark
from agent.source.capture import Capturer
from agent.source.errors import ResyncRequiredError
from agent.source.state import Assignment, SourceState
from replikera.blocks.extents import Extents
from tests.support.fake_hypervisor import MACHINE_ID, FakeHypervisor, describe
from tests.support.virtual_clock import InlineWorker, VirtualClock

TAG = "11111111-1111-4111-8111-111111111111"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
FRESH = SourceState(
    Assignment(
        TAG,
        1,
        "22222222-2222-4222-8222-222222222222",
        MACHINE_ID,
        "target",
        "b:1",
        timedelta(seconds=30),
    )
)


class Rig:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.hypervisor = FakeHypervisor(
            self.clock, describe({"disk-a": 1 << 20, "disk-b": 4096 * 3})
        )
        self.capturer = Capturer(self.hypervisor, InlineWorker(), self.clock)

    async def first_point(self) -> tuple[SourceState, Mark]:
        """Return the state behind a first point, and its mark."""
        async with self.capturer.capture(FRESH, None) as capture:
            issued = FRESH.issued(
                capture.view.view_id,
                capture.started_at,
                capture.machine_digest,
                capture.geometries,
            )
        mark = await self.hypervisor.keep(capture.view)
        return issued.with_digest(b"d" * 32).acknowledged().settled(mark.mark_id), mark


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_a_first_capture_has_everything_that_holds_data(rig: Rig) -> None:
    rig.hypervisor.write("disk-a", 70_000, b"x")
    async with rig.capturer.capture(FRESH, None) as capture:
        assert [disk.extents for disk in capture.disks] == [
            Extents.of([(65536, 65536)]),
            Extents.empty(),
        ]
        assert capture.total_bytes == 65536
        assert capture.machine == rig.hypervisor.description.to_json()
        assert [disk.disk_id for disk in capture.geometries] == ["disk-a", "disk-b"]


async def test_a_later_capture_has_what_changed(rig: Rig) -> None:
    state, mark = await rig.first_point()
    rig.hypervisor.write("disk-b", 5000, b"y")
    async with rig.capturer.capture(state, mark) as capture:
        assert [disk.extents for disk in capture.disks] == [
            Extents.empty(),
            Extents.of([(4096, 4096)]),
        ]
        assert capture.machine is None


async def test_changes_are_widened_to_whole_sectors(rig: Rig) -> None:
    state, mark = await rig.first_point()
    rig.hypervisor.changed_filter = lambda _found: {
        "disk-a": Extents.of([(700, 10)]),
        "disk-b": Extents.empty(),
    }
    async with rig.capturer.capture(state, mark) as capture:
        assert capture.disks[0].extents == Extents.of([(512, 512)])


async def test_the_capture_starts_before_the_freeze_and_ends_at_the_view(rig: Rig) -> None:
    rig.hypervisor.before_freeze = lambda: rig.clock.advance(3)
    async with rig.capturer.capture(FRESH, None) as capture:
        assert capture.started_at == NOW
        assert capture.view.taken_at > NOW + timedelta(seconds=3)


async def test_a_clock_set_back_never_makes_a_capture_start_after_its_end(rig: Rig) -> None:
    rig.hypervisor.before_freeze = lambda: rig.clock.advance(-60)
    async with rig.capturer.capture(FRESH, None) as capture:
        assert capture.started_at == capture.view.taken_at < NOW


async def test_disks_are_closed_after_an_error_too(rig: Rig) -> None:
    with pytest.raises(ZeroDivisionError):
        async with rig.capturer.capture(FRESH, None):
            raise ZeroDivisionError
    assert [disk.is_closed for disk in rig.hypervisor.opened] == [True, True]


async def test_disks_opened_before_a_failing_one_are_closed(rig: Rig) -> None:
    async def open_second_fails() -> None:
        async with rig.capturer.capture(FRESH, None):
            pass

    original = rig.hypervisor.open_disk
    opened: list[str] = []

    async def failing(view: object, disk_id: str) -> object:
        if opened:
            raise HypervisorError("gone", "The disk is gone.", "Look for it.")
        opened.append(disk_id)
        return await original(view, disk_id)  # type: ignore[arg-type]  # passed on as it came

    rig.hypervisor.open_disk = failing  # type: ignore[assignment,method-assign]  # fails once
    with pytest.raises(HypervisorError):
        await open_second_fails()
    assert [disk.is_closed for disk in rig.hypervisor.opened] == [True]


async def refused(rig: Rig, state: SourceState, mark: Mark | None) -> str:
    with pytest.raises(ResyncRequiredError) as raised:
        async with rig.capturer.capture(state, mark):
            pass
    return raised.value.failure.code


async def test_a_resized_disk_is_refused(rig: Rig) -> None:
    state, mark = await rig.first_point()
    rig.hypervisor.resize("disk-b", 4096 * 4)
    assert await refused(rig, state, mark) == "disks-changed"


async def test_a_view_whose_disk_has_another_size_than_described_is_refused(rig: Rig) -> None:
    rig.hypervisor.disks["disk-b"] += bytes(512)
    assert await refused(rig, FRESH, None) == "disk-changed"


async def test_a_view_of_another_machine_is_refused(rig: Rig) -> None:
    original = rig.hypervisor.freeze

    async def other(_machine_id: str, _tag: str) -> object:
        return await original(MACHINE_ID, "somebody-else")

    rig.hypervisor.freeze = other  # type: ignore[assignment,method-assign]  # answers with another's view
    assert await refused(rig, FRESH, None) == "view-foreign"


async def test_disks_keep_the_order_of_the_first_point(rig: Rig) -> None:
    state, mark = await rig.first_point()
    rig.hypervisor.description = describe({"disk-b": 4096 * 3, "disk-a": 1 << 20})
    async with rig.capturer.capture(state, mark) as capture:
        assert [disk.disk_id for disk in capture.geometries] == ["disk-a", "disk-b"]
        assert [disk.reader.size for disk in capture.disks] == [1 << 20, 4096 * 3]
        assert capture.machine is not None


async def test_a_delta_without_a_mark_is_a_mistake_of_ours(rig: Rig) -> None:
    state, _ = await rig.first_point()
    with pytest.raises(AssertionError, match="without a mark"):
        async with rig.capturer.capture(state, None):
            pass
