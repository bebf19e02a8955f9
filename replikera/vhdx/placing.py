"""Entries for blocks that lie one behind the other, as fixed files have them."""

import numpy as np

from replikera.ports.files import File
from replikera.vhdx import layout
from replikera.vhdx.bat import ENTRY
from replikera.vhdx.metadata import Metadata
from replikera.vhdx.regions import Region

_PIECE = 1 << 17  # entries written together


def place_blocks(file: File, metadata: Metadata, bat: Region, *, first: int, place: int) -> None:
    """Write entries that give all blocks from `first` on a place, one behind the other from `place` on; not synced."""
    for start in range(first, metadata.block_count, _PIECE):
        blocks = np.arange(start, min(start + _PIECE, metadata.block_count), dtype=np.int64)
        indices = blocks + blocks // metadata.chunk_ratio
        entries = np.zeros(int(indices[-1] - indices[0]) + 1, dtype=ENTRY)
        places = place + (blocks - first) * metadata.block_size
        entries[indices - indices[0]] = places | layout.PayloadState.FULLY_PRESENT
        offset = bat.offset + int(indices[0]) * layout.BAT_ENTRY_SIZE
        file.write(entries.tobytes(), offset)
