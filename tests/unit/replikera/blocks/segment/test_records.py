"""Records and their checksums."""

import numpy as np
import pytest
import xxhash

from replikera.blocks.segment import (
    MAX_BATCH_RECORDS,
    MAX_RECORD_BYTES,
    RECORD_BYTES,
    Codec,
    SegmentFormatError,
    data_record,
    parse_records,
    verify_payload,
    zero_record,
)

PAYLOAD = bytes(range(256)) * 4


def changed(record: bytes, offset: int, value: bytes) -> bytes:
    return record[:offset] + value + record[offset + len(value) :]


def test_records_come_back() -> None:
    records = parse_records(data_record(1, 4096, PAYLOAD) + zero_record(2, 1 << 40, 1 << 39))
    data, zero = records
    assert data["disk"] == 1
    assert (data["offset"], data["length"], data["stored_length"]) == (4096, 1024, 1024)
    assert (zero["offset"], zero["length"], zero["stored_length"]) == (1 << 40, 1 << 39, 0)
    assert records["offset"].dtype == np.int64
    verify_payload(data, PAYLOAD)
    verify_payload(data, memoryview(PAYLOAD))
    verify_payload(zero, b"")


def test_the_layout_is_the_one_written_down() -> None:
    record = data_record(0x0102, 0x0200, PAYLOAD)
    place = b"\x02\x01" + b"\x00\x02" + bytes(6) + b"\x00\x04" + bytes(6)
    assert len(record) == RECORD_BYTES == 48
    assert record[:24] == b"\x02\x01\x00\x00\x00\x04\x00\x00" + place[2:]
    assert record[24:40] == xxhash.xxh3_128(place + PAYLOAD).digest()
    assert record[40:] == bytes(8)


def test_bytes_at_another_place_or_other_bytes_are_noticed() -> None:
    record = data_record(0, 0, PAYLOAD)
    moved = parse_records(changed(record, 8, b"\x00\x02"))[0]
    with pytest.raises(SegmentFormatError, match="disk 0 offset 512: wrong checksum of a data"):
        verify_payload(moved, PAYLOAD)
    with pytest.raises(SegmentFormatError, match="wrong checksum"):
        verify_payload(parse_records(record)[0], PAYLOAD[::-1])
    with pytest.raises(SegmentFormatError, match="512 bytes of payload, not 1024"):
        verify_payload(parse_records(record)[0], PAYLOAD[:512])
    longer = parse_records(changed(zero_record(0, 0, 512), 16, b"\x00\x04"))[0]
    with pytest.raises(SegmentFormatError, match="zero record"):
        verify_payload(longer, b"")


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (changed(data_record(0, 0, PAYLOAD), 2, b"\2"), "unknown kind"),
        (changed(data_record(0, 0, PAYLOAD), 3, b"\3"), "unknown codec"),
        (changed(data_record(0, 0, PAYLOAD), 3, b"\1"), "another length"),
        (data_record(0, 0, PAYLOAD, Codec.LZ4, 0), "another length"),
        (data_record(0, 0, PAYLOAD, Codec.ZSTD, 1025), "another length"),
        (changed(zero_record(0, 0, 512), 3, b"\1"), "no payload"),
        (changed(data_record(0, 0, PAYLOAD), 4, b"\0\2"), "another length"),
        (changed(zero_record(0, 0, 512), 4, b"\0\2"), "another length"),
        (changed(data_record(0, 0, PAYLOAD), 40, b"\1"), "reserved"),
        (data_record(64, 0, PAYLOAD), "cannot exist"),
        (data_record(0, 100, PAYLOAD), "aligned"),
        (data_record(0, 0, PAYLOAD[:100]), "aligned"),
        (zero_record(0, 0, 0), "impossible length"),
        (zero_record(0, 0, (64 << 40) + 512), "impossible length"),
        (zero_record(0, 64 << 40, 512), "beyond any disk"),
        (changed(zero_record(0, 0, 512), 15, b"\xff"), "beyond any disk"),
        (changed(zero_record(0, 0, 512), 23, b"\xff"), "impossible length"),
        (data_record(0, 0, bytes(MAX_RECORD_BYTES + 512)), "more than 1048576"),
    ],
)
def test_a_malformed_record_is_named(record: bytes, problem: str) -> None:
    with pytest.raises(SegmentFormatError, match=f"record 1 of the batch.*{problem}"):
        parse_records(zero_record(0, 0, 512) + record)


@pytest.mark.parametrize("size", [0, 47, 49, (MAX_BATCH_RECORDS + 1) * RECORD_BYTES])
def test_other_than_whole_records_are_refused(size: int) -> None:
    with pytest.raises(SegmentFormatError, match="bytes are not 1 to"):
        parse_records(bytes(size))
