from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agent.source.coverage import Coverage
from agent.source.passes import (
    MAX_UNDURABLE_CHUNKS,
    InitialPass,
    Leg,
    ResyncPass,
    new_initial_pass,
)
from replikera.blocks.extents import Extents
from replikera.blocks.segment import NO_POINT, DiskGeometry

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SIZE = 1 << 20
DISKS = (DiskGeometry("a", "a.vhdx", SIZE, 512),)
LEG = Leg("view-1", NOW)
NEWER = Leg("view-2", NOW)
D1, D2 = b"1" * 32, b"2" * 32


def begun(done: int = 0, chunk: int = 0, digest: bytes = NO_POINT) -> InitialPass:
    fresh = new_initial_pass(7, DISKS, LEG)
    return fresh.durable(chunk, digest, fresh.coverage.sent((Extents.whole(done),)))


def test_a_new_pass_has_everything_to_send() -> None:
    fresh = new_initial_pass(7, DISKS, LEG)
    assert fresh.coverage == Coverage.nothing_sent(DISKS)
    assert (fresh.attempt, fresh.leg, fresh.chunk, fresh.digest) == (7, LEG, 0, NO_POINT)


def test_a_newer_view_adds_what_changed() -> None:
    moved = begun(4096).on_view(NEWER, (Extents.of([(512, 512)]),))
    assert moved.leg == NEWER
    assert moved.coverage.pending == (Extents.of([(512, 512), (4096, SIZE - 4096)]),)


def test_a_newer_view_without_tracking_makes_the_rest_doubtful() -> None:
    moved = begun(4096).on_view(NEWER, None)
    assert moved.coverage.doubtful == (Extents.whole(4096),)
    assert moved.coverage.pending == (Extents.of([(4096, SIZE - 4096)]),)


def test_a_target_that_is_where_we_thought_changes_nothing() -> None:
    known = begun(4096, 3, D1)
    assert known.opened(3, D1, (4096,), is_seeded=False) == known
    assert known.opened(3, D1, (4096,), is_seeded=True) == known


@pytest.mark.parametrize("ahead", range(1, MAX_UNDURABLE_CHUNKS + 1))
def test_a_target_ahead_by_what_was_on_its_way_is_believed(ahead: int) -> None:
    known = begun(4096, 3, D1)
    opened = known.opened(3 + ahead, D2, (8192,), is_seeded=False)
    assert opened.coverage == known.coverage
    assert (opened.chunk, opened.digest) == (3 + ahead, D2)


@pytest.mark.parametrize(
    ("chunk", "digest"), [(2, D2), (3, D2), (3 + MAX_UNDURABLE_CHUNKS + 1, D2)]
)
def test_a_target_that_is_somewhere_else_is_compared(chunk: int, digest: bytes) -> None:
    opened = begun(4096, 3, D1).opened(chunk, digest, (2048,), is_seeded=False)
    assert opened.coverage.doubtful == (Extents.whole(2048),)
    assert opened.coverage.pending == (Extents.of([(2048, SIZE - 2048)]),)
    assert (opened.chunk, opened.digest) == (chunk, digest)


def test_a_target_that_lost_the_pass_gets_everything() -> None:
    opened = begun(4096, 3, D1).opened(0, NO_POINT, (0,), is_seeded=False)
    assert opened.coverage == Coverage.nothing_sent(DISKS)


def test_a_seed_is_compared_from_the_start() -> None:
    opened = begun().opened(0, NO_POINT, (0,), is_seeded=True)
    assert opened.coverage == Coverage.nothing_known(DISKS)
    lost = begun(4096, 3, D1).opened(0, NO_POINT, (0,), is_seeded=True)
    assert lost.coverage == Coverage.nothing_known(DISKS)


def test_between_two_views_there_is_no_leg() -> None:
    assert begun().off_view().leg is None
    assert ResyncPass(leg=LEG).off_view().leg is None


def test_a_resync_compares_everything_in_its_first_view() -> None:
    compared = ResyncPass(4, D1).on_view(LEG, DISKS, None)
    assert compared.coverage == Coverage.nothing_known(DISKS)
    assert (compared.disks, compared.leg) == (DISKS, LEG)


def test_a_resync_goes_on_in_a_newer_view_with_what_changed() -> None:
    first = ResyncPass(4, D1).on_view(LEG, DISKS, None)
    half = first.covering(
        first.coverage.compared((Extents.whole(4096),), (Extents.of([(0, 512)]),))
    )
    moved = half.on_view(NEWER, DISKS, (Extents.of([(2048, 512), (8192, 512)]),))
    assert moved.coverage.pending == (Extents.of([(0, 512), (2048, 512)]),)
    assert moved.coverage.doubtful == (Extents.of([(4096, SIZE - 4096)]),)
    assert half.on_view(NEWER, DISKS, None).coverage == Coverage.nothing_known(DISKS)


def test_a_resync_against_another_point_begins_anew() -> None:
    under_way = ResyncPass(4, D1).on_view(LEG, DISKS, None)
    assert under_way.against(4, D1) == under_way
    assert under_way.against(4, D2) == ResyncPass(4, D2)
    assert under_way.against(5, D1) == ResyncPass(5, D1)


def test_what_is_stored_is_coarse_where_there_is_too_much_of_it() -> None:
    size = 1 << 36
    disks = (replace(DISKS[0], size=size),)
    scattered = Extents.of((at << 20, 512) for at in range(0, 1 << 16, 2))
    stored = new_initial_pass(1, disks, LEG).covering(Coverage((scattered,), (Extents.empty(),)))
    assert scattered.subtract(stored.coverage.pending[0]).total() == 0
    assert len(stored.pending[0]) < len(scattered)
