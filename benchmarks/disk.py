"""A disk with realistic content: files of this machine, random bytes, and a third of zeros."""

import random
from collections.abc import Iterator
from pathlib import Path

MIB = 1 << 20
_BLOCK = 4 * MIB


def make_disk(path: Path, size: int, *, seed: int) -> None:
    """Write a raw image of `size` bytes: of its 4 MiB blocks a third is never written."""
    source = _file_content(Path("/usr"), seed)
    generator = random.Random(seed)
    with path.open("wb") as file:
        file.truncate(size)
        for offset in range(0, size, _BLOCK):
            draw = generator.random()
            if draw < 1 / 3:
                continue
            file.seek(offset)
            if draw < 0.4:
                file.write(generator.randbytes(_BLOCK))
            else:
                file.write(_take(source, _BLOCK))


def make_changes(size: int, share: float, *, seed: int) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, bytes), 4 to 64 KiB each, until about `share` of the disk is changed."""
    generator = random.Random(seed)
    content = _file_content(Path("/usr"), seed + 1)
    left = int(size * share)
    while left > 0:
        length = 4096 * generator.randint(1, 16)
        offset = generator.randrange((size - length) // 4096) * 4096
        draw = generator.random()
        if draw < 0.05:
            data = bytes(length)
        elif draw < 0.2:
            data = generator.randbytes(length)
        else:
            data = _take(content, length)
        yield offset, data
        left -= length


def _take(source: Iterator[bytes], length: int) -> bytes:
    parts = []
    while length > 0:
        part = next(source)[:length]
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


def _file_content(folder: Path, seed: int) -> Iterator[bytes]:
    """Yield pieces of the folder's larger files, for ever."""
    files = sorted(
        path for path in folder.rglob("*.so*") if path.is_file() and not path.is_symlink()
    )
    if not files:
        raise FileNotFoundError(f"no files under {folder} to make a disk of")
    random.Random(seed).shuffle(files)
    while True:
        for path in files:
            with path.open("rb") as file:
                while piece := file.read(256 * 1024):
                    yield piece
