from random import Random

from agent.hypervisor.simulated.over_reporting import GRANULE, over_reported
from replikera.blocks.extents import Extents

SIZE = 1 << 30


def test_nothing_written_is_nothing_reported() -> None:
    assert over_reported(Extents.empty(), SIZE) == Extents.empty()


def test_whole_granules_are_reported_and_never_less_than_was_written() -> None:
    random = Random(1)
    written = Extents.of((random.randrange(SIZE - 512), 512) for _ in range(2000))
    reported = over_reported(written, SIZE)
    assert written.subtract(reported) == Extents.empty()
    assert all(offset % GRANULE == length % GRANULE == 0 for offset, length in reported)
    # Now and then a neighbour comes along: more than rounding alone, and far from everything.
    rounded = written.align(GRANULE, SIZE)
    assert rounded.total() < reported.total() < 1.5 * rounded.total()


def test_the_same_question_has_the_same_answer() -> None:
    written = Extents.of([(5 << 20, 4096), (900 << 20, 70_000)])
    assert over_reported(written, SIZE) == over_reported(written, SIZE)


def test_nothing_is_reported_beyond_the_disk() -> None:
    size = (1 << 20) + 512
    for offset in range(0, size, 4096):
        assert int(over_reported(Extents.of([(offset, 512)]), size).ends[-1]) <= size
