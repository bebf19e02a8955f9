"""Records with their bytes."""

import pytest

from agent.replica.pieces import PayloadCursor, verified_pieces
from replikera.blocks.segment import SegmentFormatError, data_record, parse_records, zero_record

A, B = b"a" * 512, b"b" * 1024


def test_pieces_are_views_of_what_was_given() -> None:
    records = parse_records(data_record(0, 0, A) + zero_record(1, 0, 512) + data_record(0, 512, B))
    buffer = bytearray(A + B)
    pieces = list(verified_pieces(records, [buffer]))
    assert [piece.data for piece in pieces] == [A, None, B]
    buffer[0:1] = b"x"
    assert pieces[0].data is not None
    assert pieces[0].data[0] == ord("x")


def test_the_first_wrong_one_is_named() -> None:
    records = parse_records(data_record(0, 0, A) + data_record(1, 512, B))
    with pytest.raises(SegmentFormatError, match="disk 1 offset 512"):
        list(verified_pieces(records, [A, B[::-1][:-1] + b"c"]))
    with pytest.raises(SegmentFormatError, match="another length"):
        list(verified_pieces(records, [A]))


def test_a_cursor_reads_across_buffers() -> None:
    cursor = PayloadCursor([b"", b"ab", b"", b"cdef", b"g"])
    assert bytes(cursor.take(1)) == b"a"
    assert bytes(cursor.take(0)) == b""
    assert bytes(cursor.take(4)) == b"bcde"
    assert bytes(cursor.take(2)) == b"fg"
