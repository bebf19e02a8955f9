import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from typing_extensions import override

from agent.grants import GrantRefusedError
from agent.hypervisor.interface import HypervisorError
from agent.source import replicators as module
from agent.source.assignment import Assignment, Compression
from agent.source.errors import AssignmentError, DisksChangedError, StateFileError
from agent.source.host import SourceHost
from agent.source.replicators import NAMING_SECONDS, Replicators
from agent.source.state import NamedPoint, NameRequest
from agent.source.state_folder import StateFolder
from agent.source.status import ReplicationState, ReplicationStatus
from replikera.blocks.segment import PointKind
from replikera.ports.streams import MessageStream
from replikera.system.files import SystemFiles
from replikera.wire.v1 import replication_pb2 as wire
from tests.support.fake_hypervisor import MACHINE_ID, FakeHypervisor, describe
from tests.support.fake_target import FakeTarget
from tests.support.grants import GrantOffice, terms
from tests.support.memory_stream import MemoryDialler
from tests.support.source_hosts import SOURCE, source_host
from tests.support.virtual_clock import VirtualClock

GENERATION = "22222222-2222-4222-8222-222222222222"


def assignment(number: int, machine_id: str = MACHINE_ID) -> Assignment:
    return Assignment(
        f"{number:08d}-1111-4111-8111-111111111111",
        1,
        GENERATION,
        machine_id,
        "target-host",
        "b:1",
        timedelta(seconds=30),
    )


PROTECTION = assignment(1).protection_id
OFFICE = GrantOffice(terms(PROTECTION, GENERATION, SOURCE, "target-host"))


class PatientClock(VirtualClock):
    """Lets a limit of minutes be reached only where that is wanted."""

    limits_are_reached = False

    @override
    async def sleep(self, seconds: float) -> None:
        if seconds < NAMING_SECONDS or self.limits_are_reached:
            await super().sleep(seconds)
        else:
            await asyncio.Event().wait()


class Rig:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "protections"
        self.clock = PatientClock()
        self.targets: dict[str, FakeTarget] = {}
        self.states = StateFolder(SystemFiles(), self.folder)
        self.changed = asyncio.Event()
        self.seen: list[ReplicationStatus] = []
        self.hypervisor = FakeHypervisor(self.clock, describe({"disk-a": 65536}))

    def host(self, group: asyncio.TaskGroup) -> SourceHost:
        dialler = MemoryDialler(group, self._serve)
        return source_host(
            self.folder, self.hypervisor, dialler, self.clock, self._observe, office=OFFICE
        )

    async def _serve(self, stream: MessageStream) -> None:
        first = await stream.receive()
        name = wire.ReplicateRequest.FromString(first).open.protection_id
        target = self.targets.setdefault(name, FakeTarget())
        await target.serve(_Pushed(stream, first))

    def _observe(self, status: ReplicationStatus) -> None:
        self.seen.append(status)
        self.changed.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Replicators]:
        async with asyncio.TaskGroup() as group:
            replicators = Replicators(self.host(group))
            await replicators.open()
            running = group.create_task(replicators.run())
            try:
                yield replicators
            finally:
                running.cancel()

    async def until(self, is_reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not is_reached():
                self.changed.clear()
                await self.changed.wait()

    def sequence(self, number: int) -> int:
        state = self.states.load(assignment(number).protection_id)
        return state.head.sequence if state else -1


class _Pushed:
    """A stream whose first message was read already."""

    def __init__(self, stream: MessageStream, first: bytes) -> None:
        self._stream = stream
        self._first: bytes | None = first
        self.peer = stream.peer

    async def send(self, message: bytes) -> None:
        await self._stream.send(message)

    async def receive(self) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return await self._stream.receive()


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


async def test_a_protection_joins_while_others_run(rig: Rig) -> None:
    async with rig.running() as replicators:
        await replicators.start(assignment(1))
        await rig.until(lambda: rig.sequence(1) >= 1)
        await replicators.start(assignment(2))
        await rig.until(lambda: rig.sequence(2) >= 1)
        assert len(replicators.statuses()) == 2


async def test_protections_go_on_after_a_restart(rig: Rig) -> None:
    async with rig.running() as replicators:
        await replicators.start(assignment(1))
        await rig.until(lambda: rig.sequence(1) >= 1)
    reached = rig.sequence(1)
    async with rig.running():
        await rig.until(lambda: rig.sequence(1) > reached)


async def test_a_start_before_the_run_is_durable_and_runs_once(rig: Rig) -> None:
    async with asyncio.TaskGroup() as group:
        replicators = Replicators(rig.host(group))
        await replicators.start(assignment(1))
        assert rig.sequence(1) == 0
        running = group.create_task(replicators.run())
        await rig.until(lambda: rig.sequence(1) >= 2)
        assert len(replicators.statuses()) == 1
        running.cancel()


async def test_the_same_order_again_changes_nothing(rig: Rig) -> None:
    async with rig.running() as replicators:
        await replicators.start(assignment(1))
        await rig.until(lambda: rig.sequence(1) >= 1)
        await replicators.start(assignment(1))
        assert rig.sequence(1) >= 1
        assert len(replicators.statuses()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"machine_id": "other"},
        {"epoch": 2},
        {"target_host_id": "other"},
        {"generation": PROTECTION},
    ],
)
async def test_another_order_for_the_same_protection_is_refused(
    rig: Rig, change: dict[str, object]
) -> None:
    async with rig.running() as replicators:
        await replicators.start(assignment(1))
        with pytest.raises(AssignmentError) as raised:
            await replicators.start(replace(assignment(1), **change))  # type: ignore[arg-type]  # by name
        assert raised.value.failure.code == "already-replicating"


async def test_another_order_changes_the_settings_durably(rig: Rig) -> None:
    changed = replace(
        assignment(1),
        copy_frequency=timedelta(minutes=5),
        compression=Compression.ZSTD,
        excluded_disk_ids=("unknown",),
    )
    async with rig.running() as replicators:
        await replicators.start(assignment(1))
        await rig.until(lambda: rig.sequence(1) >= 1)
        await replicators.start(changed)
        ((held, _),) = replicators.held()
        assert held == changed
        state = rig.states.load(PROTECTION)
        assert state is not None
        assert state.assignment == changed
        assert state.head.sequence >= 1
        reached = rig.sequence(1)
        await rig.until(lambda: rig.sequence(1) > reached)


async def test_a_pause_and_its_end_are_orders_too(rig: Rig) -> None:
    async with rig.running() as replicators:
        await replicators.start(assignment(1))
        await rig.until(lambda: rig.sequence(1) >= 1)
        await replicators.start(replace(assignment(1), is_paused=True))
        await rig.until(lambda: rig.seen[-1].state is ReplicationState.PAUSED)
        (status,) = replicators.statuses()
        assert status.state is ReplicationState.PAUSED
    async with rig.running() as replicators:
        await rig.until(lambda: rig.seen[-1].state is ReplicationState.PAUSED)
        reached = rig.sequence(1)
        await replicators.start(assignment(1))
        await rig.until(lambda: rig.sequence(1) > reached)


async def test_a_stopped_protection_is_gone_with_all_that_was_its(rig: Rig) -> None:
    async with rig.running() as replicators:
        await replicators.start(assignment(1), OFFICE.grant())
        await replicators.start(assignment(2))
        await rig.until(lambda: min(rig.sequence(1), rig.sequence(2)) >= 1)
        await replicators.stop(PROTECTION)
        assert [kept.protection_id for kept, _ in replicators.held()] == [
            assignment(2).protection_id
        ]
        assert [status.protection_id for status in replicators.statuses()] == [
            assignment(2).protection_id
        ]
        assert await rig.hypervisor.views(PROTECTION) == ()
        assert await rig.hypervisor.mark(PROTECTION) is None
        assert not list(rig.folder.glob(f"{PROTECTION}*"))
        points = len(rig.targets[PROTECTION].points)
        seen = len(rig.seen)
        reached = rig.sequence(2)
        await rig.until(lambda: rig.sequence(2) > reached + 1)
        assert len(rig.targets[PROTECTION].points) == points
        assert {status.protection_id for status in rig.seen[seen:]} == {assignment(2).protection_id}


async def test_stopping_again_or_what_was_never_there_is_done_at_once(rig: Rig) -> None:
    async with rig.running() as replicators:
        await replicators.start(assignment(1))
        await rig.until(lambda: rig.sequence(1) >= 1)
        await replicators.stop(PROTECTION)
        await replicators.stop(PROTECTION)
        await replicators.stop(assignment(3).protection_id)
        # And it can begin again, from nothing.
        rig.targets.clear()
        await replicators.start(assignment(1))
        await rig.until(lambda: rig.sequence(1) >= 1)


async def test_views_of_a_protection_without_a_file_are_removed_too(rig: Rig) -> None:
    view = await rig.hypervisor.freeze(MACHINE_ID, PROTECTION)
    await rig.hypervisor.keep(view)
    await rig.hypervisor.freeze(MACHINE_ID, PROTECTION)
    async with rig.running() as replicators:
        await replicators.stop(PROTECTION)
    assert await rig.hypervisor.views(PROTECTION) == ()
    assert await rig.hypervisor.mark(PROTECTION) is None


@pytest.mark.parametrize("call", ["discard", "drop_mark", "views", "mark"])
async def test_a_stop_that_fails_replicates_nothing_and_can_be_repeated(
    rig: Rig, call: str
) -> None:
    async with rig.running() as replicators:
        await replicators.start(assignment(1))
        await rig.until(lambda: rig.sequence(1) >= 1)
        await rig.hypervisor.freeze(MACHINE_ID, PROTECTION)
        rig.hypervisor.failures[call] = [HypervisorError("busy", "It moves.", "Wait.")]
        with pytest.raises(HypervisorError):
            await replicators.stop(PROTECTION)
        assert replicators.statuses() == ()
        for order in (
            replicators.start(assignment(1)),
            replicators.resync(PROTECTION),
            replicators.verify(PROTECTION, GENERATION),
        ):
            with pytest.raises(AssignmentError) as raised:
                await order
            assert raised.value.failure.code == "stopping"
    reached = len(rig.targets[PROTECTION].opened)
    async with rig.running() as replicators:
        for _ in range(50):
            await asyncio.sleep(0)
        assert replicators.statuses() == ()
        assert len(rig.targets[PROTECTION].opened) == reached
        await replicators.stop(PROTECTION)
        assert rig.states.protection_ids() == []


async def test_a_damaged_protection_can_be_stopped(rig: Rig) -> None:
    async with rig.running() as replicators:
        await replicators.start(assignment(1), OFFICE.grant())
        await rig.until(lambda: rig.sequence(1) >= 1)
    rig.states._path(PROTECTION).write_bytes(b'{"version": 1}')
    async with rig.running() as replicators:
        (status,) = replicators.statuses()
        assert status.failure is not None
        assert "version 1" in status.failure.cause
        await replicators.stop(PROTECTION)
        assert replicators.statuses() == ()
        assert await rig.hypervisor.mark(PROTECTION) is None
    assert not list(rig.folder.glob(f"{PROTECTION}*"))


@pytest.mark.parametrize("identifier", ["../../etc/passwd", "", "x"])
async def test_what_is_no_protection_is_not_stopped(rig: Rig, identifier: str) -> None:
    async with rig.running() as replicators:
        with pytest.raises(AssignmentError) as raised:
            await replicators.stop(identifier)
        assert raised.value.failure.code == "bad-order"


async def test_a_resync_is_durably_begun_and_one_that_runs_goes_on(rig: Rig) -> None:
    async with rig.running() as replicators:
        await replicators.start(assignment(1))
        await rig.until(lambda: rig.sequence(1) >= 1)
        rig.targets[PROTECTION].digest = b"x" * 32
    async with rig.running() as replicators:
        await rig.until(lambda: rig.seen[-1].state is ReplicationState.RESYNC_REQUIRED)
        reached = rig.targets[PROTECTION].sequence
        await replicators.resync(PROTECTION)
        state = rig.states.load(PROTECTION)
        assert state is not None
        assert state.resyncing is not None
        assert state.resync is None
        await replicators.resync(PROTECTION)
        await rig.until(lambda: rig.sequence(1) > reached)
    assert rig.targets[PROTECTION].points[reached + 1] == {
        name: bytes(disk) for name, disk in rig.hypervisor.disks.items()
    }


async def test_a_resync_over_other_disks_is_refused_by_name(rig: Rig) -> None:
    async with rig.running() as replicators:
        await replicators.start(assignment(1))
        await rig.until(lambda: rig.sequence(1) >= 1)
        rig.hypervisor.resize("disk-a", 131072)
        with pytest.raises(DisksChangedError, match=r"disk-a.vhdx") as raised:
            await replicators.resync(PROTECTION)
        assert raised.value.failure.code == "disks-changed"


async def test_a_verification_is_durably_begun(rig: Rig) -> None:
    async with rig.running() as replicators:
        await replicators.start(assignment(1))
        await rig.until(lambda: rig.sequence(1) >= 1)
        await replicators.verify(PROTECTION, GENERATION)
        state = rig.states.load(PROTECTION)
        assert state is not None
        assert state.verification is not None
        await rig.until(
            lambda: bool(rig.seen[-1].verification and rig.seen[-1].verification.is_finished)
        )
        await replicators.verify(PROTECTION, GENERATION)
        (status,) = replicators.statuses()
        assert status.verification is not None
        assert status.verification.is_finished
        await replicators.verify(PROTECTION, "")
        state = rig.states.load(PROTECTION)
        assert state is not None
        assert state.verification is None
        with pytest.raises(AssignmentError, match="to verify"):
            await replicators.verify(PROTECTION, "not an id")


async def test_orders_about_an_unknown_protection_are_refused(rig: Rig) -> None:
    async with rig.running() as replicators:
        for order in (
            replicators.resync(PROTECTION),
            replicators.resync("x" * 100_000),
            replicators.verify(PROTECTION, GENERATION),
        ):
            with pytest.raises(AssignmentError) as raised:
                await order
            assert raised.value.failure.code == "unknown-protection"
            assert len(raised.value.failure.cause) < 200


async def test_a_malformed_order_leaves_nothing(rig: Rig) -> None:
    async with rig.running() as replicators:
        with pytest.raises(AssignmentError):
            await replicators.start(replace(assignment(1), protection_id="../x"))
        assert replicators.statuses() == ()
    assert rig.states.protection_ids() == []


async def test_there_is_a_limit_to_protections(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PROTECTIONS", 1)
    async with rig.running() as replicators:
        await replicators.start(assignment(1))
        with pytest.raises(AssignmentError) as raised:
            await replicators.start(assignment(2))
        assert raised.value.failure.code == "too-many-protections"
        await replicators.start(assignment(1))


async def test_one_that_fails_does_not_disturb_the_others(rig: Rig) -> None:
    rig.hypervisor.failures["views"] = [RuntimeError("driver bug")] * 3
    async with rig.running() as replicators:
        await replicators.start(assignment(1, machine_id="gone"))
        await replicators.start(assignment(2))
        await rig.until(lambda: max(s.acknowledged_sequence for s in replicators.statuses()) >= 3)
        gone, healthy = sorted(replicators.statuses(), key=lambda status: status.protection_id)
    assert gone.acknowledged_sequence == 0
    assert healthy.acknowledged_sequence >= 3
    codes = {status.failure.code for status in rig.seen if status.failure}
    assert codes == {"internal-error", "unknown-machine"}


async def test_a_damaged_state_file_stops_its_protection_only(rig: Rig) -> None:
    async with rig.running() as replicators:
        await replicators.start(assignment(1))
        await replicators.start(assignment(2))
        await rig.until(lambda: min(rig.sequence(1), rig.sequence(2)) >= 1)
    damaged = rig.states._path(assignment(1).protection_id)
    damaged.write_bytes(b"{")
    reached = rig.sequence(2)
    async with rig.running() as replicators:
        await rig.until(lambda: rig.sequence(2) > reached)
        by_id = {status.protection_id: status for status in replicators.statuses()}
        with pytest.raises(StateFileError):
            await replicators.start(assignment(1))
    status = by_id[assignment(1).protection_id]
    assert status.state is ReplicationState.RESYNC_REQUIRED
    assert status.failure is not None
    assert str(damaged) in status.failure.cause
    assert damaged.read_bytes() == b"{"


async def test_a_hypervisor_error_is_one_protection_s_status(rig: Rig) -> None:
    rig.hypervisor.failures["freeze"] = [HypervisorError("busy", "It moves.", "Wait.")]
    async with rig.running() as replicators:
        await replicators.start(assignment(1))
        await rig.until(lambda: rig.sequence(1) >= 1)
    assert "busy" in {status.failure.code for status in rig.seen if status.failure}


async def test_grant_of_the_order_is_presented_to_the_target(rig: Rig) -> None:
    async with rig.running() as replicators:
        signed = OFFICE.grant()
        await replicators.start(assignment(1), signed)
        await rig.until(lambda: rig.sequence(1) >= 1)
    assert [opened.grant for opened in rig.targets[PROTECTION].opened] == [signed]


async def test_newer_grant_is_durable_and_presented_in_the_running_conversation(rig: Rig) -> None:
    newer = OFFICE.grant(version=2)
    async with rig.running() as replicators:
        await replicators.start(assignment(1), OFFICE.grant())
        await rig.until(lambda: rig.sequence(1) >= 1)
        await replicators.renew_grant(PROTECTION, newer)
        await rig.until(lambda: rig.targets[PROTECTION].presented == [newer])
        ((_, held),) = replicators.held()
        assert held.version == 2
    async with rig.running():
        await rig.until(lambda: len(rig.targets[PROTECTION].opened) == 2)
    assert rig.targets[PROTECTION].opened[1].grant == newer


async def test_older_grant_changes_nothing(rig: Rig) -> None:
    newer = OFFICE.grant(version=3)
    async with rig.running() as replicators:
        await replicators.start(assignment(1), newer)
        await replicators.renew_grant(PROTECTION, OFFICE.grant(version=2))
        await replicators.start(assignment(1), OFFICE.grant(version=1))
        ((kept, held),) = replicators.held()
        assert (kept, held.signed) == (assignment(1), newer)
        await rig.until(lambda: rig.sequence(1) >= 1)
        assert rig.targets[PROTECTION].presented == []


async def test_grant_of_something_else_is_refused_and_nothing_begun(rig: Rig) -> None:
    async with rig.running() as replicators:
        with pytest.raises(GrantRefusedError) as raised:
            await replicators.start(assignment(1), OFFICE.grant(source_host_id="other"))
        assert raised.value.code == "grant-invalid"
        assert replicators.held() == ()
    assert rig.states.protection_ids() == []


async def test_grant_that_cannot_be_believed_does_not_replace_the_good_one(rig: Rig) -> None:
    async with rig.running() as replicators:
        await replicators.start(assignment(1), OFFICE.grant())
        for signed in (GrantOffice(OFFICE.terms).grant(version=9), b"noise", OFFICE.deny_list(9)):
            with pytest.raises(GrantRefusedError):
                await replicators.renew_grant(PROTECTION, signed)
        ((_, held),) = replicators.held()
        assert held.version == 1


async def test_grant_of_an_unknown_protection_is_left(rig: Rig) -> None:
    async with rig.running() as replicators:
        await replicators.renew_grant(PROTECTION, OFFICE.grant())
        assert replicators.held() == ()
    assert not list(rig.folder.glob("*.grant"))


async def test_what_is_held_is_known_before_anything_runs(rig: Rig) -> None:
    async with rig.running() as replicators:
        await replicators.start(assignment(1), OFFICE.grant(version=4))
        await replicators.start(assignment(2))
    async with asyncio.TaskGroup() as group:
        replicators = Replicators(rig.host(group))
        await replicators.open()
        found = {kept.protection_id: held.version for kept, held in replicators.held()}
    assert found == {PROTECTION: 4, assignment(2).protection_id: 0}


WISH = NameRequest("55555555-0000-4000-8000-000000000005", "before patch day")


async def test_a_point_is_taken_at_once_and_has_the_name(rig: Rig) -> None:
    slow = replace(assignment(1), copy_frequency=timedelta(hours=24))
    async with rig.running() as replicators:
        await replicators.start(slow)
        await rig.until(lambda: rig.sequence(1) >= 1)
        begun = rig.clock.monotonic()
        named = await replicators.name_point(PROTECTION, WISH)
        assert rig.clock.monotonic() - begun < 3600
        trailer = rig.targets[PROTECTION].trailers[named.sequence - 1]
        assert (trailer.kind, trailer.name) == (PointKind.NAMED, "before patch day")
        assert named == NamedPoint(WISH.request_id, GENERATION, named.sequence)
        again = await replicators.name_point(PROTECTION, WISH)
        assert again == named
        other = replace(WISH, request_id=WISH.request_id.replace("5", "6"))
        later = await replicators.name_point(PROTECTION, other)
        assert later.sequence > named.sequence
        names = [trailer.name for trailer in rig.targets[PROTECTION].trailers]
        assert names.count("before patch day") == 2


async def test_a_wish_that_was_durable_is_fulfilled_after_a_restart(rig: Rig) -> None:
    async with rig.running() as replicators:
        await replicators.start(assignment(1))
        await rig.until(lambda: rig.sequence(1) >= 1)
    state = rig.states.load(PROTECTION)
    assert state is not None
    rig.states.save(state.wishing(WISH))
    async with rig.running() as replicators:
        named = await replicators.name_point(PROTECTION, WISH)
    assert rig.targets[PROTECTION].trailers[named.sequence - 1].name == WISH.name
    state = rig.states.load(PROTECTION)
    assert state is not None
    assert (state.naming, state.named) == (None, named)


@pytest.mark.parametrize("is_paused", [True, False])
async def test_a_name_that_nothing_can_be_given_fails_and_is_forgotten(
    rig: Rig, is_paused: bool
) -> None:
    async with rig.running() as replicators:
        await replicators.start(assignment(1))
        await rig.until(lambda: rig.sequence(1) >= 1)
        if is_paused:
            await replicators.start(replace(assignment(1), is_paused=True))
        else:
            rig.clock.limits_are_reached = True
            rig.hypervisor.failures["freeze"] = [HypervisorError("busy", "It moves.", "Wait.")] * 99
        with pytest.raises(AssignmentError) as raised:
            await replicators.name_point(PROTECTION, WISH)
        assert raised.value.failure.code == "point-not-named"
        state = rig.states.load(PROTECTION)
        assert state is not None
        assert state.naming is None


async def test_two_names_are_not_waited_for_at_once(rig: Rig) -> None:
    async with rig.running() as replicators:
        await replicators.start(assignment(1))
        await rig.until(lambda: rig.sequence(1) >= 1)
        rig.hypervisor.failures["freeze"] = [HypervisorError("busy", "It moves.", "Wait.")] * 9999
        waiting = asyncio.ensure_future(replicators.name_point(PROTECTION, WISH))
        await asyncio.sleep(0)
        other = replace(WISH, request_id="another")
        with pytest.raises(AssignmentError) as raised:
            await replicators.name_point(PROTECTION, other)
        assert raised.value.failure.code == "naming-busy"
        waiting.cancel()


async def test_a_protection_that_is_stopped_meanwhile_gets_no_file_again(rig: Rig) -> None:
    async with rig.running() as replicators:
        await replicators.start(assignment(1))
        await rig.until(lambda: rig.sequence(1) >= 1)
        rig.hypervisor.failures["freeze"] = [HypervisorError("busy", "It moves.", "Wait.")] * 9999
        waiting = asyncio.ensure_future(replicators.name_point(PROTECTION, WISH))
        await asyncio.sleep(0)
        await replicators.stop(PROTECTION)
        with pytest.raises(AssignmentError, match="not replicated now"):
            await waiting
        assert not list(rig.folder.glob(f"{PROTECTION}*"))
