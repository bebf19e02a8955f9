"""A source that is killed at every step goes on to points that equal their views, byte for byte.

A step is a durable write of its state (before it, and after it) or a call of the hypervisor (likewise). What a kill
leaves is what is in the file, in the hypervisor and at the target; everything else is gone.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any, ParamSpec, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.source.assignment import Compression
from agent.source.host import ViewLimits
from agent.source.state import SourceState
from agent.source.state_folder import StateFolder
from tests.support.fake_hypervisor import FakeHypervisor
from tests.support.memory_stream import Faults
from tests.support.source_rig import PROTECTION, SourceRig

pytestmark = pytest.mark.simulation

P = ParamSpec("P")
T = TypeVar("T")
KIB = 1 << 10
SIZES = {"disk-a": 256 * KIB, "disk-b": 32 * KIB}
CALLS = ("freeze", "keep", "discard", "changed_ranges", "open_disk", "mark", "views")


class Fate:
    """Kills at one step: whoever comes to it waits for ever, and the test takes the process away."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.steps = 0
        self.dies_at = dies_at
        self.died = asyncio.Event()

    async def step(self) -> None:
        self.steps += 1
        if self.died.is_set() or self.steps == self.dies_at:
            self.died.set()
            await asyncio.Event().wait()


class FatefulWorker:
    """Dies before or after a state is written, never in its middle: that is the file system's own test."""

    def __init__(self, fate: Fate) -> None:
        self._fate = fate

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        is_save = getattr(function, "__func__", None) is StateFolder.save
        if is_save:
            await self._fate.step()
        result = function(*args, **kwargs)
        await asyncio.sleep(0)
        if is_save:
            await self._fate.step()
        return result


def fateful(hypervisor: FakeHypervisor, fate: Fate) -> None:
    """Let every call of the hypervisor be two steps, from now on."""
    for name in CALLS:
        original = getattr(type(hypervisor), name)

        async def call(*args: Any, original: Any = original) -> Any:
            await fate.step()
            result = await original(hypervisor, *args)
            await fate.step()
            return result

        setattr(hypervisor, name, call)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches, chunks and slabs of 32 KiB."""
    for name in (
        "batching.BATCH_BYTES",
        "batching.MAX_RECORD_BYTES",
        "chunks.CHUNK_PAYLOAD_BYTES",
        "slabs.LEAF_BYTES",
        "comparing.LEAF_BYTES",
    ):
        monkeypatch.setattr(f"agent.source.{name}", 32 * KIB)
    monkeypatch.setattr("agent.source.slabs.SLAB_LEAVES", 3)


def fresh(folder: Path, seed: int = 1) -> SourceRig:
    """Return a source whose guest writes before every view, and whose second view grows large."""
    rig = SourceRig(folder, sizes=dict(SIZES))
    random = Random(seed)
    rig.hypervisor.write("disk-a", 0, random.randbytes(160 * KIB))

    def write() -> None:
        for _ in range(2):
            place = random.randrange(0, 250 * KIB) // 512 * 512
            rig.hypervisor.write("disk-a", place, random.randbytes(512))
        rig.hypervisor.write(
            "disk-b", random.randrange(0, 60) * 512, bytes([len(rig.statuses) % 251]) * 512
        )

    rig.hypervisor.before_freeze = write
    rig.limits = ViewLimits(timedelta(days=1), 1000)
    rig.hypervisor.growth = lambda view: 1000 if view.view_id == "view-1" else 0
    return rig


async def run_to(rig: SourceRig, is_reached: Callable[[], bool], fate: Fate) -> bool:
    """Run until that, True, or until the source is killed, False."""
    fateful(rig.hypervisor, fate)
    rig.worker = FatefulWorker(fate)
    async with rig.running(), asyncio.timeout(20):
        while not is_reached() and not fate.died.is_set():
            rig.changed.clear()
            waits = [
                asyncio.ensure_future(rig.changed.wait()),
                asyncio.ensure_future(fate.died.wait()),
            ]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
    return not fate.died.is_set()


async def scenario(rig: SourceRig, fates: list[Fate]) -> int:
    """Run: an initial pass over two views, two cycles, a resync, a cycle. Return the steps of the last part."""
    fate = fates.pop(0)

    async def reach(is_reached: Callable[[], bool]) -> None:
        nonlocal fate
        while not await run_to(rig, is_reached, fate):
            fate = fates.pop(0) if fates else Fate()

    await reach(lambda: rig.state.head.sequence >= 3 and not rig.state.unsettled_view_id)
    if rig.state.resyncing is None:
        # Tracking is lost, and an operator orders a resync.
        rig.hypervisor.write("disk-a", 200 * KIB, b"written while nobody tracked")
        rig.hypervisor.lose_views()
        rig.hypervisor.lose_marks()
        await reach(lambda: rig.state.resync is not None)
        rig.change(SourceState.resynchronizing)
    reached = rig.target.sequence
    await reach(lambda: rig.state.resyncing is None and rig.target.sequence > reached)
    await reach(lambda: rig.state.head.sequence >= reached + 2 and not rig.state.unsettled_view_id)
    return fate.steps


async def check(rig: SourceRig) -> None:
    rig.assert_points_equal_views()
    assert rig.state.resync is None
    assert len(await rig.hypervisor.views(PROTECTION)) <= 1
    assert sorted(rig.target.points) == list(range(1, rig.target.sequence + 1))


PARTS = 6


@pytest.mark.parametrize("part", range(PARTS))
async def test_a_source_killed_at_any_step_goes_on(tmp_path: Path, part: int) -> None:
    steps = await scenario(fresh(tmp_path / "clean"), [Fate()])
    assert steps > 150
    for dies_at in range(1 + part, steps + 1, PARTS):
        rig = fresh(tmp_path / str(dies_at))
        await scenario(rig, [Fate(dies_at)])
        await check(rig)


def overwrite(rig: SourceRig) -> None:
    """Write where the target was told of already, while nobody is there to see it."""
    for place in range(0, 150, 7):
        rig.hypervisor.write("disk-a", place * KIB // 512 * 512, bytes([place + 1]) * 512)


def lose_views(rig: SourceRig) -> None:
    rig.hypervisor.lose_views()


def lose_all(rig: SourceRig) -> None:
    rig.hypervisor.lose_views()
    rig.hypervisor.lose_marks()


@pytest.mark.parametrize("lose", [lose_views, lose_all])
@pytest.mark.parametrize("is_resync", [False, True], ids=["initial", "resync"])
async def test_a_source_killed_in_a_pass_goes_on_without_its_views_or_its_mark(
    tmp_path: Path, lose: Callable[[SourceRig], None], *, is_resync: bool
) -> None:
    for dies_at in range(1, 200, 4 if is_resync else 3):
        rig = fresh(tmp_path / str(dies_at))
        if is_resync:
            await run_to(rig, lambda rig=rig: rig.state.head.sequence >= 2, Fate())  # type: ignore[misc]
            rig.change(SourceState.resynchronizing)
            overwrite(rig)
        if await run_to(rig, lambda rig=rig: is_past(rig, is_resync=is_resync), Fate(dies_at)):  # type: ignore[misc]
            break
        lose(rig)
        overwrite(rig)
        reached = rig.target.sequence
        while rig.target.sequence < reached + 2 or rig.state.resyncing:
            await run_to(
                rig,
                lambda rig=rig, reached=reached: (  # type: ignore[misc]
                    rig.state.resync is not None
                    or (rig.target.sequence >= reached + 2 and not rig.state.resyncing)
                ),
                Fate(),
            )
            if rig.state.resync is not None:
                # The mark went in the moment between the seal and its keeping.
                assert rig.state.resync.code == "mark-missing"
                rig.change(SourceState.resynchronizing)
        await check(rig)
    else:
        raise AssertionError("the pass never ends")


def is_past(rig: SourceRig, *, is_resync: bool) -> bool:
    state = rig.state
    return state.resyncing is None if is_resync else state.head.sequence >= 1


@pytest.mark.parametrize("seed", range(8))
async def test_a_source_killed_again_and_again_goes_on(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    rig = fresh(tmp_path / "protections", seed)
    rig.target.keeps_open = seed % 2 == 0
    rig.faults = [Faults(cut_after=random.randrange(5, 80)) for _ in range(6)]
    await scenario(rig, [Fate(random.randrange(1, 90)) for _ in range(12)])
    await check(rig)


ACTS = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 500), st.integers(1, 64), st.booleans()),
    st.tuples(st.just("break"), st.integers(0, 60)),
    st.tuples(st.just("kill"), st.integers(1, 60)),
    st.tuples(st.just("grow")),
    st.tuples(st.just("lose-views")),
    st.tuples(st.just("lose-all")),
    st.tuples(st.just("forget-open")),
    st.tuples(st.just("compress"), st.sampled_from(Compression)),
    st.tuples(st.just("pause")),
    st.tuples(st.just("resync")),
    st.tuples(st.just("run"), st.integers(1, 2)),
)


class Model:
    """A flat model beside the source: the guest's disks at every view, and whether anything doubtful was done."""

    def __init__(self, folder: Path, *, is_seeded: bool, keeps_open: bool) -> None:
        self.rig = SourceRig(folder, sizes=dict(SIZES))
        self.rig.hypervisor.write("disk-a", 4096, Random(3).randbytes(100 * KIB))
        self.rig.target.keeps_open = keeps_open
        if is_seeded:
            self.rig.target.seed = {"disk-a": Random(3).randbytes(256 * KIB)}
        self.fate = Fate()

    async def act(self, act: tuple[Any, ...]) -> None:
        rig = self.rig
        match act:
            case ("write", int(place), int(count), bool(is_zero)):
                data = bytes(count * 512) if is_zero else Random(place).randbytes(count * 512)
                size = SIZES["disk-a"]
                rig.hypervisor.write("disk-a", place * 512, data[: size - place * 512])
            case ("kill", int(steps)):
                await run_to(rig, lambda: rig.state.resync is not None, Fate(steps))
            case ("run", int(points)):
                await self.reach(points)
            case ("pause",):
                self.settings(is_paused=True)
                await self.run(lambda: not rig.hypervisor._views)
                self.settings(is_paused=False)
            case _:
                self.prepare(act)

    def prepare(self, act: tuple[Any, ...]) -> None:
        """Let something happen while nothing runs."""
        rig = self.rig
        match act:
            case ("break", int(count)):
                rig.faults.append(Faults(cut_after=count))
            case ("grow",):
                rig.limits = ViewLimits(timedelta(days=1), 1000)
                newest = f"view-{len(rig.hypervisor.history) + 1}"
                rig.hypervisor.growth = lambda view: 1000 if view.view_id == newest else 0
            case ("lose-views",):
                rig.hypervisor.lose_views()
            case ("lose-all",):
                rig.hypervisor.lose_views()
                rig.hypervisor.lose_marks()
            case ("forget-open",):
                rig.target.forget_open()
            case ("compress", Compression() as compression):
                self.settings(compression=compression)
            case _:
                rig.change(SourceState.resynchronizing)

    def settings(self, **changes: Any) -> None:
        self.rig.change(lambda state: state.ordered(replace(state.assignment, **changes)))

    async def run(self, is_reached: Callable[[], bool]) -> None:
        await run_to(self.rig, is_reached, Fate())

    async def reach(self, points: int) -> None:
        """Run until that many more points are sealed; a required resync is ordered as an operator would."""
        wanted = self.rig.target.sequence + points
        while True:
            await self.run(
                lambda: (
                    self.rig.state.resync is not None
                    or (self.rig.state.head.sequence >= wanted and not self.rig.state.resyncing)
                )
            )
            if self.rig.state.resync is None:
                return
            assert self.rig.state.resync.code in {"mark-missing", "tracking-lost"}
            self.rig.change(SourceState.resynchronizing)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    acts=st.lists(ACTS, min_size=3, max_size=12),
    is_seeded=st.booleans(),
    keeps_open=st.booleans(),
)
def test_whatever_happens_every_sealed_point_equals_its_view(
    tmp_path_factory: pytest.TempPathFactory,
    acts: list[tuple[Any, ...]],
    *,
    is_seeded: bool,
    keeps_open: bool,
) -> None:
    async def play() -> None:
        folder = tmp_path_factory.mktemp("source") / "protections"
        model = Model(folder, is_seeded=is_seeded, keeps_open=keeps_open)
        for act in acts:
            await model.act(act)
            model.rig.assert_points_equal_views()
        await model.reach(2)
        model.rig.assert_points_equal_views()
        assert len(model.rig.hypervisor._views) <= 1

    asyncio.run(play())
