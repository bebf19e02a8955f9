"""Compression of one record's payload, and what a hostile one cannot do."""

import contextlib
from random import Random

import lz4.block
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from replikera.blocks.segment import (
    MAX_RECORD_BYTES,
    Codec,
    SegmentFormatError,
    compress,
    decompress,
)

PACKING = [Codec.LZ4, Codec.ZSTD]
TEXT = b"the quick brown fox " * 4096
NOISE = Random(1).randbytes(65536)


@pytest.mark.parametrize("codec", PACKING)
@given(data=st.binary(min_size=1, max_size=2000), times=st.integers(2, 40))
def test_what_was_compressed_comes_back(codec: Codec, data: bytes, times: int) -> None:
    plain = (data * times)[:MAX_RECORD_BYTES]
    packed = compress(codec, plain)
    if packed is not None:
        assert len(packed) * 10 <= len(plain) * 9
        assert decompress(codec, packed, len(plain)) == plain
        assert decompress(codec, memoryview(packed), len(plain)) == plain


@pytest.mark.parametrize("codec", PACKING)
def test_text_gains_and_noise_does_not(codec: Codec) -> None:
    packed = compress(codec, memoryview(TEXT))
    assert packed is not None
    assert len(packed) < len(TEXT) // 10
    assert compress(codec, NOISE) is None


def test_no_codec_changes_nothing() -> None:
    assert compress(Codec.NONE, TEXT) is None
    assert decompress(Codec.NONE, TEXT, len(TEXT)) == TEXT


@pytest.mark.parametrize("codec", [Codec.NONE, *PACKING])
@pytest.mark.parametrize("other", [-512, 512])
def test_another_length_than_the_record_s_is_refused(codec: Codec, other: int) -> None:
    packed = compress(codec, TEXT) or TEXT
    with pytest.raises(SegmentFormatError):
        decompress(codec, packed, len(TEXT) + other)


def test_a_bomb_is_refused_before_it_bursts() -> None:
    huge = bytes(64 << 20)
    with pytest.raises(SegmentFormatError, match="wrong length"):
        decompress(Codec.ZSTD, zstandard.ZstdCompressor().compress(huge), 4096)
    with pytest.raises(SegmentFormatError):
        decompress(Codec.LZ4, lz4.block.compress(huge, store_size=False), 4096)


def test_a_frame_that_hides_its_size_is_refused() -> None:
    frame = zstandard.ZstdCompressor(write_content_size=False).compress(TEXT)
    with pytest.raises(SegmentFormatError, match="wrong length"):
        decompress(Codec.ZSTD, frame, len(TEXT))


def test_a_frame_that_lies_about_its_size_is_refused() -> None:
    frame = bytearray(zstandard.ZstdCompressor().compress(TEXT))
    at = frame.index(len(TEXT).to_bytes(4, "little"))
    frame[at : at + 4] = (4096).to_bytes(4, "little")
    with pytest.raises(SegmentFormatError):
        decompress(Codec.ZSTD, bytes(frame), 4096)


@pytest.mark.parametrize("codec", PACKING)
def test_bytes_behind_the_payload_are_refused(codec: Codec) -> None:
    packed = compress(codec, TEXT)
    assert packed is not None
    with pytest.raises(SegmentFormatError):
        decompress(codec, packed + b"rest", len(TEXT))


@pytest.mark.parametrize("codec", PACKING)
@given(data=st.binary(max_size=300), length=st.integers(1, 4096))
def test_noise_never_gives_more_than_was_asked_for(codec: Codec, data: bytes, length: int) -> None:
    with contextlib.suppress(SegmentFormatError):
        assert len(decompress(codec, data, length)) == length


@pytest.mark.parametrize("length", [0, -1, MAX_RECORD_BYTES + 1])
def test_a_length_that_no_record_has_is_refused(length: int) -> None:
    with pytest.raises(SegmentFormatError, match="one record"):
        decompress(Codec.LZ4, b"x", length)
