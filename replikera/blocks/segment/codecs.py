"""How the payload of a record is compressed, each record by itself; `docs/segment-format.md` is the specification."""

import threading

import lz4.block
import zstandard

from replikera.blocks.segment.canonical import SegmentFormatError
from replikera.blocks.segment.records import MAX_RECORD_BYTES, Codec

ZSTD_LEVEL = 1
"""Above it the time grows and the size hardly falls."""

_KEPT_PARTS = (9, 10)
"""What gains less than a tenth is not worth the other side's work."""


class _Contexts(threading.local):
    """Contexts of zstd are dear to make and serve one thread at a time."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
        self.decompressor = zstandard.ZstdDecompressor()


_contexts = _Contexts()


def compress(codec: Codec, data: bytes | memoryview) -> bytes | None:
    """Return what is stored instead of `data`, None where that gains less than a tenth."""
    if codec is Codec.NONE:
        return None
    if codec is Codec.LZ4:
        packed: bytes = lz4.block.compress(data, store_size=False)
    else:
        packed = _contexts.compressor.compress(data)
    parts, whole = _KEPT_PARTS
    return packed if len(packed) * whole <= len(data) * parts else None


def decompress(codec: Codec, data: bytes | memoryview, length: int) -> bytes:
    """Return the plain bytes. Raises `SegmentFormatError` where they are not exactly `length`.

    Never makes more than `length` bytes, whatever `data` promises.
    """
    if not 0 < length <= MAX_RECORD_BYTES:
        raise SegmentFormatError(f"{length} bytes cannot be those of one record")
    plain = _unpacked(codec, data, length)
    if len(plain) != length:
        raise SegmentFormatError(f"wrong length: {len(plain)} plain bytes, not {length}")
    return plain


def _unpacked(codec: Codec, data: bytes | memoryview, length: int) -> bytes:
    try:
        if codec is Codec.NONE:
            return bytes(data)
        if codec is Codec.LZ4:
            plain: bytes = lz4.block.decompress(data, uncompressed_size=length)
            return plain
        # The decompressor allocates what the frame claims before it looks at its own limit.
        claimed = zstandard.get_frame_parameters(data).content_size
        if claimed != length:
            raise SegmentFormatError(f"wrong length: a frame of {claimed} bytes, not {length}")
        return _contexts.decompressor.decompress(data, allow_extra_data=False)
    except (lz4.block.LZ4BlockError, zstandard.ZstdError) as error:
        raise SegmentFormatError(f"payload of codec {codec.name.lower()}: {error}") from error
