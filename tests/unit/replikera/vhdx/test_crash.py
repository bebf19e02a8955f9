"""Whatever a crash keeps or loses of what was not synced: the file opens, and what was flushed is there."""

import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from replikera.vhdx import Image, Parents, VhdxError, create_image, open_image
from replikera.vhdx import image as image_module
from tests.unit.replikera.vhdx import foreign_file
from tests.unit.replikera.vhdx.conftest import SeededRandomness
from tests.unit.replikera.vhdx.foreign_chain import Block, Volume, child, child_items, linkage
from tests.unit.replikera.vhdx.foreign_file import MIB, entry, items
from tests.unit.replikera.vhdx.memory_file import SECTOR, MemoryFile
from tests.unit.replikera.vhdx.test_parents import parent_file

DISK = 4 * MIB
LOSSES = 6  # random selections of surviving sectors tried at every sync


class Witness:
    """The flushed content of the disk, and per sector what else it may be after a crash."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self.flushed = bytearray(image.read(DISK, 0))
        self._current = bytearray(self.flushed)
        self._allowed: dict[int, set[bytes]] = {}

    def write(self, data: bytes, offset: int) -> None:
        self._note(data, offset)
        self._image.write(data, offset)

    def zero(self, offset: int, length: int) -> None:
        self._note(bytes(length), offset)
        self._image.zero(offset, length)

    def unmap(self, offset: int, length: int) -> None:
        self._note(bytes(length), offset)
        self._image.unmap(offset, length)

    def flush(self) -> None:
        self._image.flush()
        self.flushed = bytearray(self._current)
        self._allowed.clear()

    def check(self, found: bytes) -> None:
        """Every sector is the flushed one or one that was written since."""
        same = (np.frombuffer(found, "u1") == np.frombuffer(self.flushed, "u1")).reshape(-1, SECTOR)
        for sector in np.flatnonzero(~same.all(axis=1)).tolist():
            value = found[sector * SECTOR : (sector + 1) * SECTOR]
            assert value in self._allowed.get(sector, ()), f"sector {sector} is neither old nor new"

    def _note(self, data: bytes, offset: int) -> None:
        self._current[offset : offset + len(data)] = data
        for start in range(0, len(data), SECTOR):
            kept = self._allowed.setdefault((offset + start) // SECTOR, set())
            kept.add(data[start : start + SECTOR])


def crash_states(file: MemoryFile, chance: random.Random) -> Iterator[bytes]:
    """Yield the file after every prefix of its unsynced changes and after random selections of them."""
    prefix = bytearray(file.durable)
    yield bytes(prefix)
    for operation in file.pending:
        operation.apply(prefix)
        yield bytes(prefix)
    count = len(file.pending)
    for lost in chance.sample(range(count), min(count, LOSSES)):
        yield _survivor(file, lambda number, lost=lost: number != lost)  # type: ignore[misc]
    for _ in range(LOSSES):
        kept = {number for number in range(len(file.pending)) if chance.random() < 0.5}
        yield _survivor(file, kept.__contains__)
    parts = [part for operation in file.pending for part in operation.sectors()]
    for _ in range(LOSSES):
        survivor = bytearray(file.durable)
        for part in parts:
            if chance.random() < 0.5:
                part.apply(survivor)
        yield bytes(survivor)


def _survivor(file: MemoryFile, is_kept: Callable[[int], bool]) -> bytes:
    """Return the file with whole changes kept or lost: a log entry survives although something older does not."""
    content = bytearray(file.durable)
    for number, operation in enumerate(file.pending):
        if is_kept(number):
            operation.apply(content)
    return bytes(content)


def dynamic_file() -> tuple[MemoryFile, Image]:
    """Return a disk just made."""
    file = MemoryFile()
    return file, create_image(file, size=DISK, block_size=MIB, randomness=SeededRandomness(1))


def foreign_dynamic_file() -> tuple[MemoryFile, Image]:
    """Return a disk of another writer, opened for writing: its headers change too."""
    entries = {0: entry(6, 5), 1: entry(3), 2: entry(2)}
    data = foreign_file.build(entries=entries, file_mib=6)
    data[5 * MIB :] = b"\7" * MIB
    file = MemoryFile(data)
    return file, open_image(file, writable=True, randomness=SeededRandomness(1))


def foreign_fixed_file() -> tuple[MemoryFile, Image]:
    """Return a fixed disk of another writer."""
    content = items(size=DISK, block_size=2 * MIB, flags=1)
    entries = {0: entry(6, 4), 1: entry(6, 6)}
    file = MemoryFile(foreign_file.build(content=content, entries=entries, file_mib=8))
    return file, open_image(file, writable=True, randomness=SeededRandomness(1))


PARENT = bytes(parent_file())


def parents_of_crashed() -> Parents:
    volume = Volume({"parent.vhdx": PARENT})
    return Parents(volume.open_read, volume.exists)


def child_file() -> tuple[MemoryFile, Image]:
    """Return a child of another writer with blocks of all states, opened for writing."""
    blocks = {1: Block(7, b"p" * MIB, frozenset({1, 2, 9})), 2: Block(2), 3: Block(3)}
    file = MemoryFile(child(blocks))
    image = open_image(
        file, writable=True, randomness=SeededRandomness(1), parents=parents_of_crashed()
    )
    return file, image


def moved_child_file() -> tuple[MemoryFile, Image]:
    """Return a child whose parent is not where it says first: its first change tells where the parent is."""
    paths = {
        "parent_linkage": linkage(),
        "relative_path": "gone.vhdx",
        "absolute_win32_path": "/volume/parent.vhdx",
    }
    file = MemoryFile(child({}, content=child_items(values=paths)), "child.vhdx")
    image = open_image(
        file, writable=True, randomness=SeededRandomness(1), parents=parents_of_crashed()
    )
    return file, image


def dirty_file() -> tuple[MemoryFile, Image]:
    """Return a disk whose writer was killed after a flush."""
    file, image = dynamic_file()
    image.write(b"k" * (MIB + SECTOR), 0)
    image.flush()
    killed = MemoryFile(file.durable)
    return killed, open_image(killed, writable=True, randomness=SeededRandomness(2))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "make",
    [
        dynamic_file,
        foreign_dynamic_file,
        foreign_fixed_file,
        child_file,
        moved_child_file,
        dirty_file,
    ],
)
def test_a_crash_at_any_moment_leaves_a_file_that_opens_with_all_that_was_flushed(
    make: Callable[[], tuple[MemoryFile, Image]], seed: int
) -> None:
    file, image = make()
    witness = Witness(image)
    chance = random.Random(seed)
    states = 0

    def crash() -> None:
        nonlocal states
        for state in crash_states(file, chance):
            found = open_image(MemoryFile(state), parents=parents_of_crashed())
            witness.check(found.read(DISK, 0))
            states += 1

    file.before_sync = crash
    for _ in range(4):
        for _ in range(chance.randint(1, 4)):
            offset = chance.randrange(DISK // SECTOR) * SECTOR
            length = min(DISK - offset, chance.choice([SECTOR, 7 * SECTOR, MIB + SECTOR]))
            kind = chance.random()
            if kind < 0.2:
                witness.zero(offset, length)
            elif kind < 0.4:
                witness.unmap(offset, length)
            else:
                witness.write(chance.randbytes(length), offset)
        witness.flush()
    image.close()

    assert open_image(MemoryFile(file.durable), parents=parents_of_crashed()).read(DISK, 0) == (
        witness.flushed
    )
    assert states > 4 * LOSSES


@pytest.mark.parametrize("seed", range(3))
def test_a_crash_while_the_log_of_a_killed_writer_is_replayed_loses_nothing(seed: int) -> None:
    file, image = dynamic_file()
    image.write(b"k" * (MIB + SECTOR), 0)
    image.flush()
    image.zero(SECTOR, SECTOR)
    image.write(b"l" * SECTOR, 3 * MIB)
    image.flush()
    flushed = image.read(DISK, 0)
    killed = MemoryFile(file.durable)
    chance = random.Random(seed)
    states = 0

    def crash() -> None:
        nonlocal states
        for state in crash_states(killed, chance):
            assert open_image(MemoryFile(state)).read(DISK, 0) == flushed
            states += 1

    killed.before_sync = crash
    open_image(killed, writable=True, randomness=SeededRandomness(seed)).close()
    assert states > LOSSES
    assert open_image(MemoryFile(killed.durable)).read(DISK, 0) == flushed


def test_a_crash_between_two_commits_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """More of the tables changes than one commit takes: what it tells is durable before."""
    monkeypatch.setattr(image_module, "MAX_PAGES", 4)
    file = MemoryFile()
    image = create_image(file, size=8 << 30, block_size=MIB, randomness=SeededRandomness(1))
    image.write(b"\7" * SECTOR, 0)
    image.flush()  # the log is open from here on
    chance = random.Random(1)
    states = 0

    def crash() -> None:
        nonlocal states
        for state in crash_states(file, chance):
            with open_image(MemoryFile(state)) as found:
                assert found.read(SECTOR, 0) == b"\7" * SECTOR
            states += 1

    file.before_sync = crash
    for page in range(1, 8):
        image.write(b"\7" * SECTOR, page * 512 * MIB)
    assert states


def test_the_crash_test_notices_a_table_that_runs_ahead_of_its_payload() -> None:
    file, image = dynamic_file()
    image.write(b"x" * SECTOR, 0)
    file.is_lying = True
    image.flush()

    with pytest.raises(VhdxError, match="block 0 lies outside|no valid sequence|it is truncated"):
        for state in crash_states(file, random.Random(1)):
            open_image(MemoryFile(state))
