"""The disk that the lab protects when it is given none: like a small server's, and the same in every run."""

from pathlib import Path

import numpy as np

from replikera.ports.files import Files
from replikera.ports.randomness import Randomness
from replikera.vhdx import create_image

SAMPLE_DISK_BYTES = 256 << 20
SAMPLE_DATA_BYTES = 64 << 20
_SEED = 20_141_021
_FILE_BYTES = 2 << 20
_LINE = b"%08d service=web level=info path=/orders/%d status=200 duration_ms=%d\n"


def make_sample_disk(
    files: Files,
    path: Path,
    randomness: Randomness,
    *,
    size: int = SAMPLE_DISK_BYTES,
    data_size: int = SAMPLE_DATA_BYTES,
) -> None:
    """Write a dynamic VHDX: "files" of noise and of log lines by turns, with free space between them."""
    generator = np.random.Generator(np.random.PCG64(_SEED))
    count = data_size // _FILE_BYTES
    spacing = size // count
    with files.create(path) as file:
        image = create_image(file, size=size, randomness=randomness)
        for index in range(count):
            noise = index % 2 == 0
            data = generator.bytes(_FILE_BYTES) if noise else _log_lines(generator)
            image.write(data, index * spacing)
        image.close()


def _log_lines(generator: np.random.Generator) -> bytes:
    numbers = generator.integers(1, 10_000, size=(_FILE_BYTES // 64, 2)).tolist()
    lines = (_LINE % (number, order, cost) for number, (order, cost) in enumerate(numbers))
    return b"".join(lines)[:_FILE_BYTES].ljust(_FILE_BYTES, b"\n")
