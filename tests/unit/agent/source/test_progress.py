from agent.source.progress import Progress
from tests.support.virtual_clock import VirtualClock


def test_the_rate_is_that_of_the_present_segment() -> None:
    clock = VirtualClock()
    progress = Progress(clock)
    progress.begin(1000)
    assert progress.rate == 0.0
    clock.advance(2)
    progress.add(300)
    clock.advance(2)
    progress.add(300)
    clock.advance(100)
    assert (progress.done, progress.total, progress.rate) == (600, 1000, 150.0)
    progress.begin(50)
    assert (progress.done, progress.total, progress.rate) == (0, 50, 0.0)
