"""Readers beside a writer: what they read was once there, never another block's bytes and never the file's own."""

import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from replikera.system.files import SystemFiles
from replikera.vhdx import Image, create_image, open_image
from tests.unit.replikera.vhdx.conftest import SeededRandomness
from tests.unit.replikera.vhdx.foreign_chain import SECTOR, Block, child
from tests.unit.replikera.vhdx.foreign_file import MIB
from tests.unit.replikera.vhdx.memory_file import MemoryFile
from tests.unit.replikera.vhdx.test_crash import parents_of_crashed

SIZE = 4 * MIB


def interrupt_once(file: MemoryFile, image: Image, block: int) -> None:
    """Let another thread's changes come between a reader's look at the table and its read of the block."""
    (place,) = {source for source, _ in image._runs(block * MIB, SECTOR) if source >= 0}

    def change(offset: int) -> None:
        if place <= offset < place + MIB:
            file.before_read = lambda _offset: None
            image.unmap(block * MIB, MIB)
            image.flush()
            image.write(b"s" * MIB, 3 * MIB)

    file.before_read = change


@pytest.mark.parametrize("is_into", [False, True])
def test_a_place_that_was_given_to_another_block_is_not_read(*, is_into: bool) -> None:
    file = MemoryFile()
    image = create_image(file, size=SIZE, block_size=MIB, randomness=SeededRandomness(1))
    image.write(b"a" * MIB, 0)
    image.flush()
    interrupt_once(file, image, 0)

    found = bytearray(SECTOR)
    if is_into:
        image.read_into(memoryview(found), 0)
    else:
        found[:] = image.read(SECTOR, 0)
    assert found == bytes(SECTOR)
    assert image.read(SECTOR, 3 * MIB) == b"s" * SECTOR


def test_a_partial_block_that_is_gone_is_not_the_start_of_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = MemoryFile(child({1: Block(7, b"p" * MIB, frozenset({0}))}), "child.vhdx")
    image = open_image(
        file, writable=True, randomness=SeededRandomness(1), parents=parents_of_crashed()
    )
    bits = image._blocks._bitmaps.bits

    def unmapped_meanwhile(block: int, first: int, count: int) -> NDArray[np.bool_]:
        monkeypatch.undo()
        image.unmap(MIB, MIB)
        return bits(block, first, count)

    monkeypatch.setattr(image._blocks._bitmaps, "bits", unmapped_meanwhile)
    assert image.read(SECTOR, MIB) in {b"p" * SECTOR, bytes(SECTOR)}


def test_threads_read_one_block_while_its_places_go_round(tmp_path: Path) -> None:
    with create_image(
        SystemFiles().create(tmp_path / "disk.vhdx"),
        size=SIZE,
        block_size=MIB,
        randomness=SeededRandomness(1),
    ) as image:
        foreign: set[bytes] = set()
        has_ended = threading.Event()

        def watch() -> None:
            while not has_ended.is_set():
                found = image.read(SECTOR, 0)
                if found not in {bytes(SECTOR), b"a" * SECTOR}:
                    foreign.add(found[:4])

        readers = [threading.Thread(target=watch) for _ in range(2)]
        for reader in readers:
            reader.start()
        for _ in range(60):
            image.write(b"a" * MIB, 0)
            image.flush()
            image.unmap(0, MIB)
            image.flush()
            image.write(b"s" * MIB, 2 * MIB)
            image.unmap(2 * MIB, MIB)
            image.flush()
        has_ended.set()
        for reader in readers:
            reader.join()
        assert not foreign
