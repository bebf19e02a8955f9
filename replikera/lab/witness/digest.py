"""The digest of a whole disk."""

import hashlib
from pathlib import Path
from typing import Final

from replikera.lab.witness.disk import open_disk
from replikera.lab.witness.errors import WitnessError
from replikera.ports.files import Files

_PIECE: Final = 1 << 20  # stays in the processor's cache between the read and the digest
_ZEROS: Final = memoryview(bytes(_PIECE))


def digest(files: Files, path: Path) -> str:
    """Return the SHA-256 of the whole guest-visible disk, in hex. Raises `WitnessError`, `OSError`."""
    disk = open_disk(files, path)
    try:
        total = hashlib.sha256()
        buffer = memoryview(bytearray(_PIECE))
        for layer, offset, length in disk.runs():
            for start in range(0, length, _PIECE):
                size = min(_PIECE, length - start)
                if layer is None:
                    total.update(_ZEROS[:size])
                    continue
                if layer.read_into(buffer[:size], offset + start) != size:
                    raise WitnessError(layer.path, f"cut off inside the block at {offset}")
                total.update(buffer[:size])
        return total.hexdigest()
    finally:
        disk.close()
