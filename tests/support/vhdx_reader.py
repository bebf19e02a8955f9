"""A second, small reader of VHDX files, written from MS-VHDX alone to contradict `replikera.vhdx`.

It shares no code with it or with the lab's witness, and is only as fast as tests need. Differencing files find their
parent beside them. What it does not understand ends in an AssertionError or a struct.error.
"""

import hashlib
import struct
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import google_crc32c

MIB = 1 << 20
ReadAt = Callable[[int, int], bytes]


def _guid(text: str) -> bytes:
    return uuid.UUID(text).bytes_le


BAT = _guid("2dc27766-f623-4200-9d64-115e9bfd4a08")
METADATA = _guid("8b7ca206-4790-4b9a-b8fe-575f050f886e")
PARAMETERS = _guid("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
SIZE = _guid("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
SECTOR = _guid("8141bf1d-a96f-4709-ba47-f233a8faab5f")
LOCATOR = _guid("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")


class Reader:
    """One file, and through `parent` the chain above it."""

    def __init__(
        self, read_at: ReadAt, *, open_parent: Callable[[str], "Reader"] | None = None
    ) -> None:
        self._raw = read_at
        self._patches: list[tuple[int, int, bytes | None]] = []
        assert read_at(0, 8) == b"vhdxfile"
        self.data_write_id, log_id, log_length, log_offset = self._header()
        if log_id != bytes(16):
            self._replay(log_id, log_offset, log_length)
        regions = self._regions()
        items = self._items(regions[METADATA])
        self.block, flags = struct.unpack("<II", items[PARAMETERS])
        (self.size,) = struct.unpack("<Q", items[SIZE])
        (self.sector,) = struct.unpack("<I", items[SECTOR])
        self._bat = regions[BAT]
        self._ratio = (1 << 23) * self.sector // self.block
        self.parent: Reader | None = None
        if flags & 2:
            assert open_parent is not None, "no way to the parent"
            told = self._locator(items[LOCATOR])
            self.parent = open_parent(told["relative_path"])
            assert uuid.UUID(told["parent_linkage"]).bytes_le == self.parent.data_write_id

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes of the disk, one sector of it after the other."""
        out = bytearray()
        end = min(offset + length, self.size)
        while offset < end:
            number, within = divmod(offset, self.block)
            step = min(self.block - within, end - offset)
            entry = self._entry(number + number // self._ratio)
            state, place = entry & 7, entry >> 20 << 20
            if state == 6:
                out += self._at(place + within, step)
            elif state == 7:
                step = min(step, self.sector - offset % self.sector)
                bit = number % self._ratio * (self.block // self.sector) + within // self.sector
                bitmap = self._entry(number // self._ratio * (self._ratio + 1) + self._ratio)
                assert bitmap & 7 == 6
                is_here = self._at((bitmap >> 20 << 20) + bit // 8, 1)[0] >> bit % 8 & 1
                out += self._at(place + within, step) if is_here else self._above(offset, step)
            elif state == 0 and self.parent is not None:
                out += self._above(offset, step)
            else:
                assert state in {0, 1, 2, 3, 5}
                out += bytes(step)
            offset += step
        return bytes(out)

    def digest(self) -> str:
        """Return the SHA-256 of the whole disk."""
        found = hashlib.sha256()
        for offset in range(0, self.size, MIB):
            found.update(self.read(offset, MIB))
        return found.hexdigest()

    def _above(self, offset: int, length: int) -> bytes:
        assert self.parent is not None
        return self.parent.read(offset, length).ljust(length, b"\0")

    def _at(self, offset: int, length: int) -> bytes:
        data = bytearray(self._raw(offset, length).ljust(length, b"\0"))
        for start, size, content in self._patches:
            low, high = max(start, offset), min(start + size, offset + length)
            if low < high:
                part = bytes(high - low) if content is None else content[low - start : high - start]
                data[low - offset : high - offset] = part
        return bytes(data)

    def _entry(self, index: int) -> int:
        return int.from_bytes(self._at(self._bat + 8 * index, 8), "little")

    def _header(self) -> tuple[bytes, bytes, int, int]:
        """Return the DataWriteGuid, the LogGuid, and the log's length and offset."""
        best = None
        for offset in (64 << 10, 128 << 10):
            data = self._raw(offset, 4096)
            fields = struct.unpack_from("<4sIQ16s16s16sHHIQ", data)
            blank = data[:4] + bytes(4) + data[8:]
            is_sound = fields[0] == b"head" and google_crc32c.value(blank) == fields[1]
            if is_sound and (best is None or fields[2] > best[2]):
                best = fields
        assert best is not None
        return best[4], best[5], best[8], best[9]

    def _regions(self) -> dict[bytes, int]:
        for offset in (192 << 10, 256 << 10):
            data = self._at(offset, 64 << 10)
            checksum, count = struct.unpack_from("<II", data, 4)
            if google_crc32c.value(data[:4] + bytes(4) + data[8:]) == checksum:
                entries = (struct.unpack_from("<16sQII", data, 16 + 32 * n) for n in range(count))
                return {entry[0]: entry[1] for entry in entries}
        raise AssertionError("no region table")

    def _items(self, region: int) -> dict[bytes, bytes]:
        table = self._at(region, 64 << 10)
        (count,) = struct.unpack_from("<H", table, 10)
        entries = (struct.unpack_from("<16sIII", table, 32 + 32 * n) for n in range(count))
        return {
            entry[0]: self._at(region + entry[1], entry[2]) for entry in entries if not entry[3] & 1
        }

    def _locator(self, item: bytes) -> dict[str, str]:
        (count,) = struct.unpack_from("<H", item, 18)
        entries = (struct.unpack_from("<IIHH", item, 20 + 12 * n) for n in range(count))
        return {
            item[k : k + kl].decode("utf-16-le"): item[v : v + vl].decode("utf-16-le")
            for k, v, kl, vl in entries
        }

    def _replay(self, log_id: bytes, log_offset: int, log_length: int) -> None:
        log = self._raw(log_offset, log_length)
        best: list[int] = []
        for tail in range(0, log_length, 4096):
            run = list(self._run(log, log_id, tail))
            tails = [struct.unpack_from("<I", log, at + 12)[0] for at in run]
            if run and tails[-1] in run:
                newest = _sequence(log, run[-1])
                if not best or newest > _sequence(log, best[-1]):
                    best = run[run.index(tails[-1]) :]
        assert best, "a log without a valid sequence"
        for at in best:
            assert struct.unpack_from("<Q", log, at + 56)[0] <= 1 << 47, "a file of no size"
            self._apply(_entry_bytes(log, at))

    def _run(self, log: bytes, log_id: bytes, at: int) -> Iterator[int]:
        previous, seen = None, set[int]()
        while at not in seen:
            seen.add(at)
            if log[at : at + 4] != b"loge" or log[at + 32 : at + 48] != log_id:
                return
            length = struct.unpack_from("<I", log, at + 8)[0]
            if not 0 < length <= len(log) or length % 4096:
                return
            data, sequence = _entry_bytes(log, at), _sequence(log, at)
            (checksum,) = struct.unpack_from("<I", data, 4)
            if google_crc32c.value(data[:4] + bytes(4) + data[8:]) != checksum:
                return
            if previous is not None and sequence != previous + 1:
                return
            if not _is_whole(data, sequence):
                return
            yield at
            previous, at = sequence, (at + length) % len(log)

    def _apply(self, data: bytes) -> None:
        (count,) = struct.unpack_from("<I", data, 24)
        sector = -(-(64 + 32 * count) // 4096) * 4096
        for at in range(64, 64 + 32 * count, 32):
            if data[at : at + 4] == b"zero":
                length, offset = struct.unpack_from("<QQ", data, at + 8)
                self._patches.append((offset, length, None))
                continue
            trailing, leading, offset = struct.unpack_from("<4s8sQ", data, at + 4)
            page = leading + data[sector + 8 : sector + 4092] + trailing
            self._patches.append((offset, 4096, page))
            sector += 4096


def _is_whole(data: bytes, sequence: int) -> bool:
    """Tell whether everything in an entry says that it belongs to it (2.3.1)."""
    tail, number, count = struct.unpack_from("<IQI", data, 12)
    sector = -(-(64 + 32 * count) // 4096) * 4096
    if tail % 4096 or number == 0 or sector > len(data):
        return False
    for at in range(64, 64 + 32 * count, 32):
        kind = data[at : at + 4]
        length, offset, own = struct.unpack_from("<QQQ", data, at + 8)
        if own != sequence or offset % 4096 or kind not in {b"zero", b"desc"}:
            return False
        if kind == b"zero" and length % 4096:
            return False
        if kind == b"desc":
            page, sector = data[sector : sector + 4096], sector + 4096
            if (
                len(page) < 4096
                or page[:4] != b"data"
                or page[4:8] + page[-4:] != _halves(sequence)
            ):
                return False
    return True


def _halves(sequence: int) -> bytes:
    return struct.pack("<II", sequence >> 32, sequence & 0xFFFFFFFF)


def _sequence(log: bytes, at: int) -> int:
    return int(struct.unpack_from("<Q", log, at + 16)[0])


def _entry_bytes(log: bytes, at: int) -> bytes:
    (length,) = struct.unpack_from("<I", log, at + 8)
    return (log[at:] + log[:at])[:length]


def open_path(path: Path) -> Reader:
    """Open a file of this machine, with its parents beside it."""

    def read_at(offset: int, length: int) -> bytes:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)

    return Reader(
        read_at, open_parent=lambda told: open_path(path.parent / told.replace("\\", "/"))
    )
