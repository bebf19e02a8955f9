from agent.source.progress import WINDOW_SECONDS, Progress
from tests.support.virtual_clock import VirtualClock


def test_rate_is_that_of_the_last_seconds() -> None:
    clock = VirtualClock()
    progress = Progress(clock)
    assert progress.rate == 0.0
    progress.begin(1000)
    for _ in range(20):
        clock.advance(1)
        progress.add(10)
    assert progress.rate == 10.0
    for _ in range(20):
        clock.advance(1)
        progress.add(30, sent=15)
    assert progress.rate == 30.0
    assert (progress.done, progress.total, progress.sent) == (800, 1000, 300)


def test_rate_is_nothing_when_nothing_moves() -> None:
    clock = VirtualClock()
    progress = Progress(clock)
    progress.begin(100)
    clock.advance(1)
    progress.add(50)
    assert progress.rate == 50.0
    clock.advance(2 * WINDOW_SECONDS)
    assert progress.rate == 0.0
    progress.begin(10)
    assert (progress.done, progress.rate) == (0, 0.0)


def test_what_was_done_before_makes_no_rate() -> None:
    clock = VirtualClock()
    progress = Progress(clock)
    progress.begin(1000, done=900, sent=7)
    clock.advance(1)
    progress.add(10)
    assert (progress.rate, progress.done, progress.sent) == (10.0, 910, 7)


def test_a_transfer_never_has_less_than_is_done() -> None:
    progress = Progress(VirtualClock())
    progress.begin(10)
    progress.add(8)
    progress.extend(4)
    assert progress.total == 8
    progress.extend(40)
    assert progress.total == 40
