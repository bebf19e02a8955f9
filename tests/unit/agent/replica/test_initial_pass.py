"""The base of the first point while it is filled."""

import pytest
from blake3 import blake3

from agent.replica.errors import ReplicaError
from agent.replica.initial_pass import InitialPass
from tests.support.lineages import LineageBench
from tests.support.passes import PassSource, open_pass, send_chunk
from tests.support.segments import Write

DATA = b"d" * 512


@pytest.fixture
def bench() -> LineageBench:
    return LineageBench()


@pytest.fixture
def source(bench: LineageBench) -> PassSource:
    return PassSource(bench.disks)


@pytest.fixture
def initial(bench: LineageBench, source: PassSource) -> InitialPass:
    return open_pass(bench.lineage, source)


def refused(error: pytest.ExceptionInfo[ReplicaError]) -> str:
    return error.value.code


def test_a_new_pass_is_durable_before_it_is_told(bench: LineageBench, initial: InitialPass) -> None:
    assert initial.state is not None
    assert (initial.state.chunk, initial.state.is_seeded) == (0, False)
    assert bench.files.pending() == []


def test_before_it_is_filled_nothing_goes(bench: LineageBench, source: PassSource) -> None:
    initial = bench.lineage.passes.begin(source.header)
    assert initial.state is None
    with pytest.raises(ReplicaError) as error:
        initial.begin_chunk(1)
    assert refused(error) == "wrong-chunk"
    with pytest.raises(ReplicaError) as error:
        initial.finish(b"", b"", bench.now(1))
    assert refused(error) == "wrong-chunk"


def test_a_chunk_is_durable_when_it_ends(
    bench: LineageBench, initial: InitialPass, source: PassSource
) -> None:
    send_chunk(bench.lineage, initial, source.chunk(Write(0, 0, DATA)))
    assert bench.files.pending() == []
    assert (initial.received_records, initial.received_bytes) == (1, 512)
    assert initial.state is not None
    assert (initial.state.chunk, initial.state.watermarks) == (1, (512, 0))


@pytest.mark.parametrize("number", [0, 2])
def test_chunks_come_one_after_the_other(initial: InitialPass, number: int) -> None:
    with pytest.raises(ReplicaError) as error:
        initial.begin_chunk(number)
    assert refused(error) == "wrong-chunk"
    assert "the next one is 1" in error.value.cause


def test_nothing_comes_outside_a_chunk(initial: InitialPass, source: PassSource) -> None:
    chunk = source.chunk(Write(0, 0, DATA))
    for operate in (
        lambda: initial.add(chunk.records, chunk.payloads),
        lambda: initial.end_chunk(chunk.watermarks, chunk.digest),
    ):
        with pytest.raises(ReplicaError) as error:
            operate()
        assert refused(error) == "wrong-chunk"


def test_a_refused_batch_writes_nothing(
    bench: LineageBench, initial: InitialPass, source: PassSource
) -> None:
    chunk = source.chunk(Write(0, 0, DATA), Write(0, 512, DATA))
    initial.begin_chunk(1)
    with pytest.raises(ReplicaError) as error:
        initial.add(chunk.records, [DATA, b"x" * 512])
    assert refused(error) == "wrong-checksum"
    assert initial.received_records == 0
    image = bench.files.read_bytes(bench.layout.images(1) / "00.img", limit=1 << 20)
    assert not any(image)


def test_zeros_are_written_over_what_is_there(
    bench: LineageBench, initial: InitialPass, source: PassSource
) -> None:
    lost = source.chunk(Write(0, 1024, DATA))
    initial.begin_chunk(1)
    initial.add(lost.records, lost.payloads)
    bench.lineage.passes.leave(initial)
    again = PassSource(bench.disks)
    initial = open_pass(bench.lineage, again)
    send_chunk(bench.lineage, initial, again.whole())
    bench.lineage.passes.seal(initial, *again.end(), bench.now(1))
    assert bench.read(1) == bench.contents[0]


def test_what_it_holds_is_told_as_digests(
    bench: LineageBench, initial: InitialPass, source: PassSource
) -> None:
    send_chunk(bench.lineage, initial, source.chunk(Write(0, 0, DATA)))
    (*_, found) = initial.digests([(0, 0, 1024), (1, 0, 2048)])
    assert found == blake3(DATA + bytes(512)).digest() + blake3(bytes(2048)).digest()
    for asked in ((2, 0, 512), (1, 2048, 512)):
        with pytest.raises(ReplicaError) as error:
            list(initial.digests([asked]))
        assert refused(error) == "out-of-bounds"


def test_the_end_is_about_all_that_came(
    bench: LineageBench, initial: InitialPass, source: PassSource
) -> None:
    with pytest.raises(ReplicaError) as error:
        initial.finish(*source.end(), bench.now(1))
    assert refused(error) == "incomplete"
    send_chunk(bench.lineage, initial, source.whole(Write(0, 0, DATA)))
    trailer, digest = source.end()
    for wrong in ((trailer, bytes(32)), (trailer[:-1], digest)):
        with pytest.raises(ReplicaError):
            initial.finish(*wrong, bench.now(1))
    record = initial.finish(trailer, digest, bench.now(1))
    assert (record.sequence, record.point_id, record.disks) == (1, digest, bench.disks)
    assert b"vm-1" in record.machine
    assert record.point.payload_bytes == 512
