"""Where the initial pass arrives."""

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agent.replica.accepted import Seed
from agent.replica.errors import ReplicaError
from agent.replica.images import VhdxImages
from agent.replica.initial_pass import InitialPass
from tests.support.lineages import LineageBench
from tests.support.passes import PassSource, open_pass, send_chunk
from tests.support.seeded_randomness import SeededRandomness
from tests.support.segments import ACCEPTED, GENERATION, Write, disks_of

DATA = b"d" * 512


@pytest.fixture
def bench() -> LineageBench:
    return LineageBench()


def source_of(bench: LineageBench, attempt: int = 1) -> PassSource:
    return PassSource(bench.disks, attempt=attempt)


def begun(bench: LineageBench, source: PassSource) -> InitialPass:
    """Return a pass with one durable chunk."""
    initial = open_pass(bench.lineage, source)
    send_chunk(bench.lineage, initial, source.chunk(Write(0, 0, DATA), Write(0, 512, 3584)))
    return initial


def sealed(bench: LineageBench, initial: InitialPass, source: PassSource) -> None:
    send_chunk(bench.lineage, initial, source.chunk(Write(1, 0, 2048)))
    bench.lineage.passes.seal(initial, *source.end(), bench.now(1))
    bench.contents[1] = (DATA + bytes(3584), bytes(2048))


def refused(operate: Callable[[], object]) -> str:
    with pytest.raises(ReplicaError) as error:
        operate()
    return error.value.code


def images(bench: LineageBench) -> list[str]:
    names = bench.files.list_directory(bench.layout.folder)
    return [name for name in names if bench.layout.is_images(name)]


@pytest.mark.parametrize("is_restarted", [False, True])
def test_a_pass_goes_on_behind_its_durable_chunk(
    bench: LineageBench, *, is_restarted: bool
) -> None:
    source = source_of(bench)
    initial = begun(bench, source)
    bench.lineage.passes.leave(initial)
    if is_restarted:
        bench.reopen()
    assert bench.lineage.arriving() == (1, 2)
    again = source_of(bench)
    initial = open_pass(bench.lineage, again)
    assert initial.state is not None
    assert (initial.state.chunk, initial.state.digest) == (1, source.digest)
    again.go_on(initial.state)
    sealed(bench, initial, again)
    bench.assert_all_points_are_right()
    assert bench.lineage.arriving() == (0, 0)
    bench.reopen()
    bench.assert_all_points_are_right()


def test_what_is_left_takes_no_more_room_than_it_needs() -> None:
    bench = LineageBench(sizes=(8 << 20,), image_format=VhdxImages(SeededRandomness(1)))
    path = bench.layout.images(1) / "00.vhdx"
    sizes = []
    for _ in range(4):
        source = PassSource(bench.disks)
        initial = open_pass(bench.lineage, source)
        chunk = source.chunk(Write(0, 0, b"x" * 65536))
        bench.lineage.passes.begin_chunk(initial, 1)
        bench.lineage.passes.add(initial, chunk.records, chunk.payloads)
        # The conversation breaks inside the chunk: its blocks are used again and not lost.
        bench.lineage.passes.leave(initial)
        status = bench.files.status(path)
        assert status is not None
        sizes.append(status.size)
    assert len(set(sizes)) == 1


def test_a_later_pass_takes_the_place_and_an_older_one_does_not(bench: LineageBench) -> None:
    bench.lineage.passes.leave(begun(bench, source_of(bench, 2)))
    older = source_of(bench, 1).header
    assert refused(lambda: bench.lineage.passes.begin(older)) == "stale-attempt"
    source = source_of(bench, 5)
    initial = begun(bench, source)
    assert images(bench) == ["initial-5"]
    sealed(bench, initial, source)
    assert bench.lineage.history.position.initial_attempt == 5
    bench.assert_all_points_are_right()


def test_a_pass_has_the_same_disks_to_its_end(bench: LineageBench) -> None:
    bench.lineage.passes.leave(begun(bench, source_of(bench)))
    other = PassSource(disks_of(4096, 4096)).header
    assert refused(lambda: bench.lineage.passes.begin(other)) == "stale-attempt"


def test_an_abandoned_pass_is_gone(bench: LineageBench) -> None:
    initial = begun(bench, source_of(bench, 2))
    assert bench.lineage.abandon(GENERATION, 1, 1) == 2
    assert bench.lineage.arriving() == (2, 2)
    assert bench.lineage.abandon(GENERATION, 1, 2) == 3
    assert images(bench) == []
    assert bench.lineage.arriving() == (0, 0)
    assert refused(lambda: bench.lineage.passes.begin_chunk(initial, 2)) == "stale-attempt"
    again = source_of(bench, 2).header
    assert refused(lambda: bench.lineage.passes.begin(again)) == "stale-attempt"


@pytest.mark.parametrize("name", ["00.img", "00.sums", "01.img"])
def test_a_pass_whose_images_are_damaged_begins_anew(bench: LineageBench, name: str) -> None:
    bench.lineage.passes.leave(begun(bench, source_of(bench)))
    bench.files.remove(bench.layout.images(1) / name)
    bench.reopen()
    source = source_of(bench)
    initial = open_pass(bench.lineage, source)
    assert initial.state is not None
    assert initial.state.chunk == 0
    send_chunk(bench.lineage, initial, source.chunk(Write(0, 0, DATA), Write(0, 512, 3584)))
    sealed(bench, initial, source)
    bench.assert_all_points_are_right()


def full(part: str, operation: str = "write") -> Callable[[str, Path], None]:
    def before(done: str, path: Path) -> None:
        if done == operation and part in str(path):
            raise OSError(errno.ENOSPC, "injected", str(path))

    return before


@pytest.mark.parametrize("part", ["00.img", "00.sums", "pass.json"])
def test_a_full_volume_leaves_the_pass_to_go_on_with(bench: LineageBench, part: str) -> None:
    source = source_of(bench)
    initial = begun(bench, source)
    lost = source.chunk(Write(0, 1024, DATA))
    bench.files.before = full(part)
    assert refused(lambda: send_chunk(bench.lineage, initial, lost)) == "disk-full"
    bench.files.before = None
    bench.lineage.passes.leave(initial)
    again = source_of(bench)
    initial = open_pass(bench.lineage, again)
    assert initial.state is not None
    assert initial.state.chunk == 1
    again.go_on(initial.state)
    send_chunk(bench.lineage, initial, again.chunk(Write(0, 1024, 512)))
    sealed(bench, initial, again)
    bench.assert_all_points_are_right()


def test_a_full_volume_is_noticed_before_it_is_full(bench: LineageBench) -> None:
    source = source_of(bench)
    initial = begun(bench, source)
    bench.files.capacity = 1 << 20
    chunk = source.chunk(Write(0, 1024, DATA))
    assert refused(lambda: send_chunk(bench.lineage, initial, chunk)) == "disk-full"
    bench.lineage.passes.leave(initial)
    assert refused(lambda: bench.lineage.passes.begin(source.header)) == "disk-full"
    bench.files.capacity = None
    assert open_pass(bench.lineage, source).state is not None


@pytest.mark.parametrize("operation", ["create", "write", "truncate"])
def test_a_pass_that_cannot_be_begun_leaves_nothing(bench: LineageBench, operation: str) -> None:
    bench.files.before = full("initial-", operation)
    source = source_of(bench)
    assert refused(lambda: bench.lineage.passes.begin(source.header)) == "disk-full"
    bench.files.before = None
    assert images(bench) == []
    initial = begun(bench, source)
    sealed(bench, initial, source)


@pytest.mark.parametrize(
    ("operation", "part"),
    [
        ("sync", "00.img"),
        ("sync", "00.sums"),
        ("sync", "pass.json"),
        ("sync_directory", "initial-1"),
    ],
)
def test_a_failed_sync_is_never_repeated(bench: LineageBench, operation: str, part: str) -> None:
    source = source_of(bench)
    initial = begun(bench, source)
    chunk = source.chunk(Write(0, 1024, DATA))

    def fail(done: str, path: Path) -> None:
        if done == operation and part in str(path):
            raise OSError(errno.EIO, "injected", str(path))

    bench.files.before = fail
    assert refused(lambda: send_chunk(bench.lineage, initial, chunk)) == "storage-failed"
    bench.files.before = None
    assert refused(lambda: bench.lineage.passes.leave(initial)) == "storage-failed"
    assert refused(lambda: bench.lineage.passes.begin(source.header)) == "storage-failed"
    bench.reopen()
    state = bench.lineage.passes.state
    assert state is not None
    assert state.chunk in {1, 2}


def test_an_end_that_meets_a_full_volume_is_sent_again(bench: LineageBench) -> None:
    source = source_of(bench)
    initial = begun(bench, source)
    send_chunk(bench.lineage, initial, source.chunk(Write(1, 0, 2048)))
    bench.files.before = full("points")
    end = source.end()
    assert refused(lambda: bench.lineage.passes.seal(initial, *end, bench.now(1))) == "disk-full"
    bench.files.before = None
    bench.lineage.passes.leave(initial)
    assert bench.lineage.history.head.sequence == 0
    initial = open_pass(bench.lineage, source_of(bench))
    bench.lineage.passes.seal(initial, *end, bench.now(1))
    bench.contents[1] = (DATA + bytes(3584), bytes(2048))
    bench.assert_all_points_are_right()


def test_leaving_twice_or_after_the_end_is_nothing(bench: LineageBench) -> None:
    source = source_of(bench)
    initial = begun(bench, source)
    sealed(bench, initial, source)
    bench.lineage.passes.leave(initial)
    bench.lineage.passes.leave(initial)


def test_a_pass_that_is_begun_again_closes_what_was_open(bench: LineageBench) -> None:
    source = source_of(bench)
    first = begun(bench, source)
    second = open_pass(bench.lineage, source_of(bench))
    assert refused(lambda: bench.lineage.passes.begin_chunk(first, 2)) == "stale-attempt"
    assert second.state is not None
    assert second.state.chunk == 1


def test_other_seeds_begin_anew(bench: LineageBench) -> None:
    one = replace(ACCEPTED, seeds=(Seed("disk-0.vhdx", "a.raw"),))
    bench.lineage.change_terms(one)
    source = source_of(bench)
    initial = bench.lineage.passes.begin(source.header)
    assert refused(lambda: list(bench.lineage.passes.fill(initial))) == "seeds-not-taken"
    assert bench.lineage.passes.begin(source.header).seeding is initial.seeding
    bench.lineage.change_terms(ACCEPTED)
    again = bench.lineage.passes.begin(source.header)
    assert again.seeding.seeds == ()
    for _ in bench.lineage.passes.fill(again):
        pass
    assert again.state is not None
    assert not again.state.is_seeded
