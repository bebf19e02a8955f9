"""How far the present transfer has come, and how fast it goes."""

from collections import deque

from replikera.ports.clock import Clock

WINDOW_SECONDS = 10.0
"""What "now" means for a rate."""

_SAMPLE_SECONDS = 0.5


class Progress:
    """Bytes of one transfer at a time; after its end the numbers stay until the next begins."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._samples = deque([(clock.monotonic(), 0)])
        self.done = 0
        self.total = 0
        self.sent = 0

    @property
    def rate(self) -> float:
        """Return the bytes a second over the last seconds; nothing moves: 0."""
        now = self._clock.monotonic()
        while len(self._samples) > 1 and now - self._samples[1][0] >= WINDOW_SECONDS:
            self._samples.popleft()
        since, before = self._samples[0]
        # One sample before the window is its beginning; alone, it is older than all that counts.
        if now <= since or (len(self._samples) == 1 and now - since >= WINDOW_SECONDS):
            return 0.0
        return (self.done - before) / (now - since)

    def begin(self, total: int, done: int = 0, sent: int = 0) -> None:
        """Start counting a transfer of `total` bytes, of which `done` were done and `sent` left before."""
        self.done = done
        self.total = total
        self.sent = sent
        self._samples = deque([(self._clock.monotonic(), done)])

    def extend(self, total: int) -> None:
        """Go on with a transfer that has another total now: the guest has written meanwhile."""
        self.total = max(total, self.done)

    def add(self, done: int, sent: int = 0) -> None:
        """Count bytes as done, and those that left for them."""
        self.done += done
        self.sent += sent
        now = self._clock.monotonic()
        if now - self._samples[-1][0] >= _SAMPLE_SECONDS:
            self._samples.append((now, self.done))
