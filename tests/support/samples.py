"""Real VHDX files that nobody here wrote, in the folder that REPLIKERA_SAMPLES names."""

import bz2
import gzip
import os
from pathlib import Path

_PIECE = 1 << 16


def unpack(packed: Path, folder: Path) -> Path:
    """Decompress a sample into `folder`, leaving holes for its zeros."""
    target = folder / packed.stem
    kind = gzip.GzipFile if packed.suffix == ".gz" else bz2.BZ2File
    with kind(packed) as source, target.open("wb") as file:
        while data := source.read(_PIECE):
            if any(data):
                file.write(data)
            else:
                file.seek(len(data), os.SEEK_CUR)
        file.truncate(file.tell())
    return target
