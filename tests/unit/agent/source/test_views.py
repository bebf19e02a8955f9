from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agent.hypervisor.interface import Consistency, HypervisorError, TrackingLostError, View
from agent.source.capture import Capture
from agent.source.errors import DisksChangedError, ResyncRequiredError, ViewLimitError
from agent.source.host import ViewLimits
from agent.source.passes import Leg, new_initial_pass
from agent.source.state import OpenAttempt
from agent.source.status import Failure
from agent.source.views import LOOK_SECONDS, remove_all
from replikera.blocks.extents import Extents
from tests.support.source_parts import SourceParts
from tests.support.source_rig import PROTECTION

LIMITS = ViewLimits(timedelta(minutes=10), 1000)


@pytest.fixture
def parts(tmp_path: Path) -> SourceParts:
    parts = SourceParts(tmp_path)
    parts.limits = LIMITS
    parts.restart()
    return parts


async def filling(parts: SourceParts) -> Capture:
    """Return the view of an initial pass that is under way."""
    capture = await parts.views.take(())
    leg = Leg(capture.view.view_id, capture.started_at)
    begun = new_initial_pass(parts.state.attempt + 1, capture.geometries, leg)
    await parts.record.update(lambda state: state.with_initial(begun))
    return capture


async def acknowledged(parts: SourceParts) -> Capture:
    """Return the view of a first point that was acknowledged and not settled."""
    capture = await filling(parts)
    ending = OpenAttempt(
        1,
        parts.state.attempt,
        capture.view.view_id,
        capture.started_at,
        b"m" * 32,
        capture.geometries,
        b"d" * 32,
    )
    await parts.record.update(lambda state: state.pass_ending(ending).acknowledged())
    return capture


async def found(parts: SourceParts) -> list[str]:
    return [view.view_id for view in await parts.hypervisor.views(PROTECTION)]


async def test_views_that_nobody_needs_are_ended(parts: SourceParts) -> None:
    await parts.hypervisor.freeze(parts.state.assignment.machine_id, PROTECTION)
    await parts.hypervisor.freeze(parts.state.assignment.machine_id, "somebody-else")
    assert await parts.views.tidy() == ""
    assert await found(parts) == []
    assert len(await parts.hypervisor.all_views()) == 1


async def test_the_view_of_a_head_becomes_the_mark_without_the_target(parts: SourceParts) -> None:
    capture = await acknowledged(parts)
    parts.restart()
    await parts.views.tidy()
    assert await found(parts) == []
    assert (parts.state.mark_id, parts.state.unsettled_view_id) == (capture.view.view_id, "")
    assert (await parts.views.mark()).mark_id == capture.view.view_id


async def test_the_view_of_a_pass_stays_over_a_restart_and_is_opened_again(
    parts: SourceParts,
) -> None:
    capture = await filling(parts)
    parts.restart()
    await parts.views.tidy()
    leg = parts.state.leg
    assert leg is not None
    again = await parts.views.of_leg(leg, capture.geometries)
    assert again is not None
    assert (again.view, again.started_at) == (capture.view, capture.started_at)
    assert await parts.views.of_leg(leg, capture.geometries) is again
    await parts.hypervisor.discard(capture.view)
    await parts.views.release()
    assert await parts.views.of_leg(leg, capture.geometries) is None


@pytest.mark.parametrize("reason", ["age", "growth", "pause"])
async def test_the_view_of_a_pass_becomes_the_mark_when_it_must_go(
    parts: SourceParts, reason: str
) -> None:
    capture = await filling(parts)
    if reason == "age":
        parts.clock.advance(601)
    elif reason == "growth":
        parts.hypervisor.growth = lambda _view: 1000
    else:
        await parts.settings(is_paused=True)
    assert await parts.views.tidy() == ""
    assert await found(parts) == []
    assert (parts.state.mark_id, parts.state.leg) == (capture.view.view_id, None)
    assert all(disk.is_closed for disk in parts.hypervisor.opened)


async def test_a_view_in_use_that_must_go_is_told(parts: SourceParts) -> None:
    await acknowledged(parts)
    await parts.views.tidy()
    capture = await parts.views.take(parts.state.head.disks)
    assert await parts.views.tidy() == ""
    assert await found(parts) == [capture.view.view_id]
    parts.clock.advance(601)
    assert await parts.views.tidy() == "it is 601 s old"
    assert await found(parts) == []
    assert parts.views.held_view_id == ""


async def test_nothing_stays_when_a_resync_is_required(parts: SourceParts) -> None:
    await filling(parts)
    await parts.record.update(lambda state: state.resync_required(Failure("a", "b", "c")))
    await parts.views.tidy()
    assert await found(parts) == []


async def test_a_crash_between_keeping_and_noting_it_is_made_good(parts: SourceParts) -> None:
    capture = await filling(parts)
    await parts.hypervisor.keep(capture.view)
    parts.restart()
    parts.hypervisor.write("disk-a", 4096, b"after")
    newer = await parts.views.take(capture.geometries)
    changes = await parts.views.changes_of_pass(newer)
    assert changes == (Extents.of([(4096, 4096)]), Extents.empty())


@pytest.mark.parametrize("reason", ["lost", "tracking", "doubtful", "foreign"])
async def test_a_pass_without_tracking_goes_on_without_knowing(
    parts: SourceParts, reason: str
) -> None:
    capture = await filling(parts)
    await parts.views.keep(capture.view)
    newer = await parts.views.take(capture.geometries)
    if reason == "lost":
        parts.hypervisor.lose_marks()
    elif reason == "tracking":
        lost = TrackingLostError("tracking-lost", "The log was reset.", "Resynchronise.")
        parts.hypervisor.failures["changed_ranges"] = [lost]
    elif reason == "doubtful":
        parts.hypervisor.changed_filter = lambda _found: {}
    else:
        mark = await parts.hypervisor.mark(PROTECTION)
        assert mark is not None
        parts.hypervisor.replace_mark(PROTECTION, replace(mark, mark_id="other"))
    assert await parts.views.changes_of_pass(newer) is None


async def test_a_mark_that_is_not_ours_requires_a_resync(parts: SourceParts) -> None:
    await acknowledged(parts)
    await parts.views.tidy()
    parts.hypervisor.lose_marks()
    with pytest.raises(ResyncRequiredError, match="is gone"):
        await parts.views.mark()


async def test_taking_a_view_closes_the_one_before(parts: SourceParts) -> None:
    await parts.views.take(())
    second = await parts.views.take((), Consistency.APPLICATION)
    assert [disk.is_closed for disk in parts.hypervisor.opened] == [True, True, False, False]
    assert parts.views.held_view_id == second.view.view_id
    assert second.view.consistency is Consistency.APPLICATION


async def test_a_view_in_use_is_looked_at_now_and_then(parts: SourceParts) -> None:
    capture = await parts.views.take(())
    looks: list[View] = []

    def grow(view: View) -> int:
        looks.append(view)
        return len(looks) * 500

    parts.hypervisor.growth = grow
    await parts.views.check(capture.view)
    await parts.views.check(capture.view)
    assert len(looks) == 1
    parts.clock.advance(LOOK_SECONDS)
    with pytest.raises(ViewLimitError, match="it holds 1000 bytes") as raised:
        await parts.views.check(capture.view)
    assert raised.value.failure.code == "view-limit"


async def test_a_view_of_disks_that_are_excluded_now_is_not_gone_on_with(
    parts: SourceParts,
) -> None:
    capture = await filling(parts)
    await parts.settings(excluded_disk_ids=("disk-b",))
    leg = parts.state.leg
    assert leg is not None
    with pytest.raises(DisksChangedError, match=r"disk-b.vhdx is gone"):
        await parts.views.of_leg(leg, capture.geometries)


async def test_all_views_and_the_mark_are_removed_and_looked_for_again(parts: SourceParts) -> None:
    capture = await acknowledged(parts)
    await parts.views.keep(capture.view)
    await parts.views.take(parts.state.head.disks)
    await parts.views.release()
    await remove_all(parts.hypervisor, PROTECTION)
    assert await found(parts) == []
    assert await parts.hypervisor.mark(PROTECTION) is None
    await remove_all(parts.hypervisor, PROTECTION)


async def test_what_will_not_go_is_told(parts: SourceParts) -> None:
    await parts.views.take(())

    async def stay(_view: View) -> None:
        return

    parts.hypervisor.discard = stay  # type: ignore[method-assign,assignment]  # does nothing, and says so to nobody
    with pytest.raises(HypervisorError) as raised:
        await remove_all(parts.hypervisor, PROTECTION)
    assert raised.value.code == "not-removed"
