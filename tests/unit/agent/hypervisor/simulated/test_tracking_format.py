from uuid import UUID

import pytest

from agent.hypervisor.simulated import tracking_format
from agent.hypervisor.simulated.tracking_format import MalformedLogError
from replikera.blocks.extents import Extents

LOG = UUID(int=7)
BEFORE = UUID(int=6)
TABLE = tracking_format.table_of(
    {0: Extents.of([(0, 4096), (8192, 4096)]), 2: Extents.of([(512, 512)])}
)


def closed_log() -> bytes:
    return (
        tracking_format.encode_header(3, LOG, BEFORE)
        + tracking_format.encode_ranges(LOG, 0, TABLE)
        + tracking_format.encode_ranges(LOG, 1, TABLE[:1])
        + tracking_format.encode_end(LOG, 2)
    )


def test_what_was_written_is_read() -> None:
    log = tracking_format.parse_log(closed_log())

    assert (log.number, log.log_id, log.previous_id) == (3, LOG, BEFORE)
    assert log.is_closed
    assert log.ranges.tolist() == [*TABLE.tolist(), TABLE[0].item()]


def test_every_changed_byte_is_noticed() -> None:
    data = closed_log()
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1
        try:
            log = tracking_format.parse_log(bytes(damaged))
        except MalformedLogError:
            continue
        assert not log.is_closed, f"byte {position} of a closed log may be anything"


def test_a_cut_log_is_never_closed() -> None:
    data = closed_log()
    for length in range(tracking_format.HEADER_BYTES, len(data)):
        log = tracking_format.parse_log(data[:length])
        assert not log.is_closed
        assert log.sound_bytes <= length


def test_an_incomplete_last_batch_is_left_out() -> None:
    whole = tracking_format.encode_header(3, LOG, BEFORE)
    whole += tracking_format.encode_ranges(LOG, 0, TABLE)
    torn = tracking_format.encode_ranges(LOG, 1, TABLE)[:-1]

    log = tracking_format.parse_log(whole + torn)

    assert (log.batches, log.sound_bytes) == (1, len(whole))


def test_a_dropped_batch_is_noticed() -> None:
    data = tracking_format.encode_header(3, LOG, BEFORE) + tracking_format.encode_ranges(
        LOG, 1, TABLE
    )
    with pytest.raises(MalformedLogError, match="damaged at byte 64"):
        tracking_format.parse_log(data)


def test_a_batch_of_another_log_is_noticed() -> None:
    data = tracking_format.encode_header(3, LOG, BEFORE)
    with pytest.raises(MalformedLogError, match="damaged"):
        tracking_format.parse_log(data + tracking_format.encode_ranges(BEFORE, 0, TABLE))


def test_bytes_after_the_end_are_noticed() -> None:
    with pytest.raises(MalformedLogError, match="after its end"):
        tracking_format.parse_log(closed_log() + tracking_format.encode_end(LOG, 3))


def test_ranges_are_given_disk_by_disk() -> None:
    extents = tracking_format.extents_of(TABLE, [16384, 0, 1024])
    assert extents == [
        Extents.of([(0, 4096), (8192, 4096)]),
        Extents.empty(),
        Extents.of([(512, 512)]),
    ]


@pytest.mark.parametrize("sizes", [[16384, 0], [12287, 0, 1024], [16384, 0, 1023]])
def test_ranges_outside_the_disks_are_refused(sizes: list[int]) -> None:
    with pytest.raises(MalformedLogError):
        tracking_format.extents_of(TABLE, sizes)


@pytest.mark.parametrize("row", [(-1, 0, 1), (0, -1, 1), (0, 0, -1), (0, 1 << 62, 1 << 62)])
def test_impossible_ranges_are_refused(row: tuple[int, int, int]) -> None:
    table = TABLE[:1].copy()
    table[0] = row
    with pytest.raises(MalformedLogError):
        tracking_format.extents_of(table, [1 << 40])
