"""How far the segment that is being sent has come, and how fast."""

from replikera.ports.clock import Clock


class Progress:
    """Bytes of one segment at a time; after its end the numbers stay until the next begins."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self._moved = self._began
        self.done = 0
        self.total = 0

    @property
    def rate(self) -> float:
        """Return the bytes a second since the segment began."""
        seconds = self._moved - self._began
        return self.done / seconds if seconds > 0 else 0.0

    def begin(self, total: int) -> None:
        """Start counting a segment of `total` bytes."""
        self._began = self._moved = self._clock.monotonic()
        self.done = 0
        self.total = total

    def add(self, count: int) -> None:
        """Count bytes as done."""
        self.done += count
        self._moved = self._clock.monotonic()
