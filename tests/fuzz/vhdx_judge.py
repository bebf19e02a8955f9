"""What a reader may do with a hostile file: refuse it with `VhdxError`, or read what the second reader reads."""

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import xxhash

from replikera.blocks.extents import Extents
from replikera.ports.files import Buffer, FileStatus
from replikera.vhdx import ExtentKind, Image, Parents, VhdxError, open_image
from replikera.vhdx.checking import CheckReport, check
from tests.fuzz.vhdx_files import GROW, WRITE, Case
from tests.support import vhdx_reader
from tests.unit.replikera.vhdx.conftest import SeededRandomness

MIB = 1 << 20
_MOST = 64 * MIB
_READ = 2 * MIB
_FOLDER = Path("/volume")


class FindingError(AssertionError):
    """The reader did what no input may make it do."""


class FuzzFile:
    """A file in memory on a volume with little room."""

    def __init__(self, path: Path, content: bytearray) -> None:
        self.path = path
        self._content = content

    def size(self) -> int:
        return len(self._content)

    def read(self, length: int, offset: int) -> bytes:
        if length < 0 or offset < 0:
            raise FindingError(f"read of {length} bytes at {offset}")
        return bytes(memoryview(self._content)[offset : offset + length])

    def read_into(self, buffer: memoryview, offset: int) -> int:
        data = self.read(len(buffer), offset)
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Buffer, offset: int) -> None:
        end = offset + len(data)
        if end > len(self._content):
            self.truncate(end)
        self._content[offset:end] = data

    def write_many(self, parts: Sequence[Buffer], offset: int) -> None:
        self.write(b"".join(parts), offset)

    def zero(self, offset: int, length: int) -> None:
        if offset + length > _MOST:
            self.truncate(offset + length)
        self.write(bytes(length), offset)

    def truncate(self, size: int) -> None:
        if size > _MOST:
            raise OSError(errno.ENOSPC, "No space left on device", str(self.path))
        del self._content[size:]
        if size > len(self._content):
            self._content.extend(bytes(size - len(self._content)))

    def data_ranges(self) -> Iterator[tuple[int, int]]:
        yield 0, len(self._content)

    def sync(self) -> None:
        pass

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


class FuzzVolume:
    """The files of a case, as much of `Files` as reading takes."""

    def __init__(self, files: dict[str, bytearray]) -> None:
        self._files = {_FOLDER / name: content for name, content in files.items()}

    def open_read(self, path: Path) -> FuzzFile:
        return FuzzFile(path, self._files[path])

    def status(self, path: Path) -> FileStatus | None:
        content = self._files.get(path)
        return None if content is None else FileStatus(len(content), len(content), 1, False)

    def parents(self) -> Parents:
        return Parents(self.open_read, lambda path: path in self._files)


def judge(case: Case) -> str:
    """Raise `FindingError` or whatever else the reader raises; return what became of the case."""
    before = _checksums(case)
    volume = FuzzVolume(case.files)
    report = check(volume, _FOLDER / case.leaf)  # type: ignore[arg-type] # of Files it only reads
    content = _read_ours(volume, case.leaf)
    _expect_agreement(report, is_open=content is not None)
    if _checksums(case) != before:
        raise FindingError("reading changed the file")
    if content is None:
        outcome = "refused"
    else:
        outcome = "read by both" if _is_read_alike(case, content) else "read by ours alone"
    if case.options & WRITE:
        outcome += ", " + _write(case, volume, content)
    return outcome


def _checksums(case: Case) -> list[int]:
    return [xxhash.xxh3_64_intdigest(content) for content in case.files.values()]


Content = dict[tuple[int, int], bytes]


def _expect_agreement(report: CheckReport, *, is_open: bool) -> None:
    is_clean = all(problem.is_mended_by_replay for problem in report.problems)
    if is_clean and not is_open:
        raise FindingError("the check finds nothing, and the reader refuses")


def _read_ours(volume: FuzzVolume, leaf: str) -> Content | None:
    try:
        image = open_image(volume.open_read(_FOLDER / leaf), parents=volume.parents())
    except VhdxError:
        return None
    content: Content = {}
    with image:
        kinds = _expect_whole(image)
        for offset, length in _ranges(image):
            with suppress(VhdxError):  # a sector bitmap is missed only when it is needed
                content[offset, length] = image.read(length, offset)
        for (offset, length), data in content.items():
            _expect_extents(image, offset, data)
            buffer = bytearray(length)
            image.read_into(memoryview(buffer), offset)
            if buffer != data:
                raise FindingError(f"read and read_into differ at {offset}")
    if kinds > 1_000_000:
        raise FindingError(f"{kinds} extents")
    return content


def _expect_whole(image: Image) -> int:
    """Expect extents to cover the disk once, in order; return their number."""
    end = count = 0
    previous = None
    try:
        for extent in image.extents():
            if extent.offset != end or extent.length <= 0 or extent.kind == previous:
                raise FindingError(f"{extent} behind {end}, {previous}")
            end, previous, count = extent.offset + extent.length, extent.kind, count + 1
        data = image.data_extents()
    except VhdxError:
        return count
    if end != image.size or (len(data) and int(data.ends[-1]) > image.size):
        raise FindingError(f"extents end at {end} of {image.size}")
    return count


def _ranges(image: Image) -> list[tuple[int, int]]:
    """Return what is read of the disk: all of a small one, both ends and some data of a large one."""
    size = image.size
    if size <= 4 * _READ:
        return [(at, min(_READ, size - at)) for at in range(0, size, _READ)]
    found = [(0, _READ), (size - MIB, MIB)]
    with suppress(VhdxError):
        starts = image.data_extents().starts[:8].tolist()
        found += [(start, min(64 << 10, size - start)) for start in starts]
    return found


def _expect_extents(image: Image, offset: int, data: bytes) -> None:
    for extent in image.extents(offset, len(data)):
        start = extent.offset - offset
        is_empty = extent.kind in {ExtentKind.ZERO, ExtentKind.UNMAPPED}
        if is_empty and data[start : start + extent.length].strip(b"\0"):
            raise FindingError(f"{extent} is not zeros")
    with suppress(VhdxError):
        _expect_nothing_outside(image.data_extents(), offset, data)


def _expect_nothing_outside(extents: Extents, offset: int, data: bytes) -> None:
    """Expect zeros wherever the disk says that it has no data."""
    end = offset
    for start, length in [
        *extents.intersect(Extents.of([(offset, len(data))])),
        (offset + len(data), 0),
    ]:
        if data[end - offset : start - offset].strip(b"\0"):
            raise FindingError(f"data outside the data extents, before {start}")
        end = start + length


def _second(case: Case, name: str, depth: int = 0) -> vhdx_reader.Reader:
    content = case.files[name]
    assert depth < 8

    def read_at(offset: int, length: int) -> bytes:
        assert 0 <= length <= _MOST
        assert offset >= 0
        return bytes(memoryview(content)[offset : offset + length])

    return vhdx_reader.Reader(
        read_at, open_parent=lambda told: _second(case, told.rpartition("\\")[2], depth + 1)
    )


def _is_read_alike(case: Case, content: Content) -> bool:
    """Compare with the second reader; it may refuse whatever it does not understand, in any way."""
    try:
        second = _second(case, case.leaf)
        theirs = {where: second.read(*where) for where in content}
    except Exception:  # noqa: BLE001 - it is no part of the product, and refuses with whatever happens
        return False
    for where, data in content.items():
        if theirs[where] != data:
            at = next(i for i, (a, b) in enumerate(zip(data, theirs[where], strict=True)) if a != b)
            raise FindingError(f"the second reader reads other bytes at {where[0] + at}")
    return True


def _write(case: Case, volume: FuzzVolume, content: Content | None) -> str:
    """Change the disk; what was not changed must stay, what was must read back, by both readers."""
    path = _FOLDER / case.leaf
    try:
        image = open_image(
            volume.open_read(path),
            writable=True,
            randomness=SeededRandomness(case.seed),
            parents=volume.parents(),
        )
    except (VhdxError, OSError):
        return "not opened for writing"
    try:
        with image:
            changed = _changed(image, case.seed, {} if content is None else content)
            if case.options & GROW:
                changed |= _grown(image, case.seed)
    except (VhdxError, OSError):
        _read_ours(volume, case.leaf)
        return "not written"
    if content is None:
        raise FindingError("opened for writing, and not for reading")
    if _read_ours(volume, case.leaf) is None:
        raise FindingError("it does not open after it was written")
    with open_image(volume.open_read(path), parents=volume.parents()) as image:
        ours = {where: image.read(where[1], where[0]) for where in changed}
    for where, data in changed.items():
        if ours[where] != data:
            raise FindingError(f"what was written does not read back at {where}")
    _is_read_alike(case, changed)
    return "written"


def _grown(image: Image, seed: int) -> Content:
    """Make the disk larger, and write behind its old end; return the new part's content as it must be."""
    old = image.size
    length = seed % 3000 * image.logical_sector_size or image.logical_sector_size
    image.grow(old + length)
    if seed & 1 << 20:
        image.write(b"\xc3" * image.logical_sector_size, old)
        rest = length - image.logical_sector_size
        return {(old, length): b"\xc3" * image.logical_sector_size + bytes(rest)}
    return {(old, length): bytes(length)}


def _changed(image: Image, seed: int, content: Content) -> Content:
    """Write, zero or unmap somewhere; return the content as it must be now."""
    model = {where: bytearray(data) for where, data in content.items()}
    sector = image.logical_sector_size
    steps: list[Callable[[int, int], None]] = [
        lambda at, length: image.write(b"\xa5" * length, at),
        image.zero,
        image.unmap,
        lambda at, length: image.write(b"\x5a" * length, at),
    ]
    fills = (0xA5, 0, 0, 0x5A)
    for turn in range(3):
        seed = (seed * 1103515245 + 12345) % 2**31
        kind = seed % 4
        length = min((seed >> 4) % 5000 * sector or MIB, image.size) // sector * sector
        at = (
            (seed >> 3) % ((min(image.size, 8 * MIB) - length) // sector + 1) * sector
            if length <= 8 * MIB
            else 0
        )
        steps[kind](at, length)
        for (start, _), data in model.items():
            low, high = max(at, start), min(at + length, start + len(data))
            if low < high:
                data[low - start : high - start] = bytes([fills[kind]]) * (high - low)
        if turn == 1:
            image.flush()
    return {where: bytes(data) for where, data in model.items()}
