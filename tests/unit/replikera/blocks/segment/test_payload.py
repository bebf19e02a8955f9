"""Payloads against the checksums of their records."""

import pytest

from replikera.blocks.segment import (
    Codec,
    SegmentFormatError,
    compress,
    data_record,
    parse_records,
    verify_payload,
)

PLAIN = bytes(range(256)) * 16


@pytest.mark.parametrize("codec", [Codec.LZ4, Codec.ZSTD])
def test_a_compressed_payload_is_checked_as_plain_bytes(codec: Codec) -> None:
    packed = compress(codec, PLAIN)
    assert packed is not None
    (record,) = parse_records(data_record(1, 512, PLAIN, codec, len(packed)))
    (plain,) = parse_records(data_record(1, 512, PLAIN))
    assert record["stored_length"] == len(packed)
    assert bytes(record["checksum"]) == bytes(plain["checksum"])
    assert verify_payload(record, packed) == PLAIN


def test_compressed_bytes_of_something_else_are_noticed() -> None:
    packed = compress(Codec.LZ4, PLAIN[::-1])
    assert packed is not None
    (record,) = parse_records(data_record(1, 512, PLAIN, Codec.LZ4, len(packed)))
    with pytest.raises(SegmentFormatError, match="disk 1 offset 512: wrong checksum"):
        verify_payload(record, packed)


def test_what_cannot_be_unpacked_is_named_by_its_place() -> None:
    (record,) = parse_records(data_record(1, 512, PLAIN, Codec.ZSTD, 64))
    with pytest.raises(SegmentFormatError, match="disk 1 offset 512: payload of codec zstd"):
        verify_payload(record, bytes(64))
