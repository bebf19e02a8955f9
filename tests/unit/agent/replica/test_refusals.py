"""Refusals of what arrives."""

from agent.replica.history import Head
from agent.replica.refusals import refusal
from replikera.blocks.segment import decode_header
from tests.support.segments import (
    GENERATION,
    NOTHING,
    PROTECTION,
    build_segment,
    disks_of,
    pass_header,
)

DISKS = disks_of(4096)


def test_a_segment_is_named_by_its_sequence() -> None:
    head = Head(GENERATION, 4, b"p" * 32, 0)
    error = refusal(decode_header(build_segment(head, DISKS, []).header), "code", "it is wrong")
    assert error.code == "code"
    assert error.cause == f"Segment 5 of protection {PROTECTION}: it is wrong."
    assert error.remedy
    assert not error.is_diverged


def test_a_pass_is_named_by_its_attempt() -> None:
    error = refusal(pass_header(NOTHING, DISKS, attempt=3), "code", "it is wrong")
    assert error.cause == f"The initial pass 3 of protection {PROTECTION}: it is wrong."
