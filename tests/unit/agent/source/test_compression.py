import itertools

from agent.source.assignment import Compression
from agent.source.compression import MAX_KEPT, MAX_PAUSE, STRETCH_BYTES, CodecChoice, Pace
from replikera.blocks.segment import Codec


def test_what_was_ordered_is_used() -> None:
    choice = CodecChoice()
    assert choice.codec(Compression.OFF) is Codec.NONE
    assert choice.codec(Compression.LZ4) is Codec.LZ4
    assert choice.codec(Compression.ZSTD) is Codec.ZSTD
    assert choice.codec(Compression.ADAPTIVE) is Codec.NONE


class Link:
    """A network and a disk with their rates, and data with its ratio; returns codecs stretch by stretch."""

    def __init__(self, network: float, *, ratio: float = 0.5, packing: float = 600e6) -> None:
        self.network = network
        self.ratio = ratio
        self.packing = packing
        self.choice = CodecChoice()

    def send(self, stretches: int) -> list[Codec]:
        used = []
        for _ in range(stretches):
            codec = self.choice.codec(Compression.ADAPTIVE)
            used.append(codec)
            plain = STRETCH_BYTES
            stored = int(plain * self.ratio) if codec is not Codec.NONE else plain
            reading = plain / (self.packing if codec is not Codec.NONE else 2e9)
            # Reading ahead hides the quicker of the two.
            sending = stored / self.network
            waits = (max(0.0, reading - sending), sending)
            self.choice.note(Pace(plain, stored, *waits))
        return used


def test_a_slow_network_is_helped() -> None:
    assert Link(100e6).send(4) == [Codec.NONE, Codec.LZ4, Codec.LZ4, Codec.LZ4]


def test_a_fast_network_is_left_alone() -> None:
    link = Link(20e9)
    assert set(link.send(50)) == {Codec.NONE}


def test_data_that_does_not_shrink_is_tried_ever_less_often() -> None:
    link = Link(100e6, ratio=0.95)
    used = link.send(3 * MAX_PAUSE)
    tries = [at for at, codec in enumerate(used) if codec is Codec.LZ4]
    gaps = [after - before for before, after in itertools.pairwise(tries)]
    assert gaps == sorted(gaps)
    assert gaps[-1] > 8
    assert max(gaps) <= MAX_PAUSE + 1


def test_compression_that_makes_the_whole_slower_is_given_up() -> None:
    link = Link(1.2e9, packing=200e6)
    used = link.send(20)
    assert used[1] is Codec.LZ4
    assert used.count(Codec.LZ4) <= 5


def test_now_and_then_a_plain_stretch_shows_what_the_network_does_now() -> None:
    link = Link(100e6)
    used = link.send(3 * MAX_KEPT)
    assert 2 <= used.count(Codec.NONE) <= 5
    link.network = 50e9
    assert set(link.send(4 * MAX_KEPT)[2 * MAX_KEPT :]) == {Codec.NONE}


def test_batches_add_up_to_stretches() -> None:
    choice = CodecChoice()
    part = STRETCH_BYTES // 8
    for _ in range(7):
        choice.note(Pace(part, part, 0.0, 1.0))
        assert choice.codec(Compression.ADAPTIVE) is Codec.NONE
    choice.note(Pace(part, part, 0.0, 1.0))
    assert choice.codec(Compression.ADAPTIVE) is Codec.LZ4


def test_no_time_at_all_is_no_reason_to_compress() -> None:
    choice = CodecChoice()
    choice.note(Pace(STRETCH_BYTES, STRETCH_BYTES, 0.0, 0.0))
    assert choice.codec(Compression.ADAPTIVE) is Codec.NONE
