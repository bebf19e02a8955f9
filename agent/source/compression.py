"""Which codec the next bytes are stored with: as ordered, or only while the network is what everybody waits for.

Adaptive compression looks at stretches of some 32 MiB. Where sending was waited for longer than reading, the next
stretch is compressed; it stays so while that makes the whole faster and smaller. A stretch that gained too little is
followed by a pause of plain ones, longer every time.
"""

from dataclasses import dataclass

from agent.source.assignment import Compression
from replikera.blocks.segment import Codec

STRETCH_BYTES = 32 << 20
MAX_PAUSE = 64
"""Stretches without a new attempt: 2 GiB."""

MAX_KEPT = 32
"""Compressed stretches until a plain one shows again what the network does without."""

_CODECS = {
    Compression.OFF: Codec.NONE,
    Compression.LZ4: Codec.LZ4,
    Compression.ZSTD: Codec.ZSTD,
}
_LEAST_GAIN = 0.1


@dataclass(frozen=True, slots=True)
class Pace:
    """What one batch cost: bytes of data and those sent for them, and seconds waited for reading and for sending."""

    plain: int
    stored: int
    reading: float
    sending: float


class CodecChoice:
    """Of one protection; what it learned lasts over its transfers."""

    def __init__(self) -> None:
        self._adaptive = _Adaptive()

    def codec(self, ordered: Compression) -> Codec:
        """Return the codec for what is read next."""
        if ordered is Compression.ADAPTIVE:
            return self._adaptive.codec
        return _CODECS[ordered]

    def note(self, pace: Pace) -> None:
        """Learn from a batch that was sent."""
        self._adaptive.note(pace)


class _Adaptive:
    def __init__(self) -> None:
        self.codec = Codec.NONE
        self._plain = 0
        self._stored = 0
        self._reading = 0.0
        self._sending = 0.0
        self._plain_rate = 0.0
        self._pause = 0
        self._next_pause = 1
        self._kept = 0

    def note(self, pace: Pace) -> None:
        self._plain += pace.plain
        self._stored += pace.stored
        self._reading += pace.reading
        self._sending += pace.sending
        if self._plain >= STRETCH_BYTES:
            self._judge()
            self._plain = self._stored = 0
            self._reading = self._sending = 0.0

    def _judge(self) -> None:
        seconds = self._reading + self._sending
        rate = self._plain / seconds if seconds > 0 else float("inf")
        if self.codec is Codec.NONE:
            self._plain_rate = rate
            self._pause = max(0, self._pause - 1)
            if self._sending > self._reading and not self._pause:
                self.codec = Codec.LZ4
                self._kept = 0
            return
        gain = 1 - self._stored / self._plain
        if gain >= _LEAST_GAIN and rate > self._plain_rate:
            self._next_pause = 1
            self._kept += 1
            if self._kept == MAX_KEPT:
                self.codec = Codec.NONE
            return
        self.codec = Codec.NONE
        self._pause = self._next_pause
        self._next_pause = min(MAX_PAUSE, self._next_pause * 2)
