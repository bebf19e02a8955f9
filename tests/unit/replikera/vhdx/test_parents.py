"""Chains of differencing files: what they read as, and which are refused."""

import itertools
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replikera.blocks.extents import Extents
from replikera.system.files import SystemFiles
from replikera.vhdx import (
    Extent,
    ExtentKind,
    Image,
    ImageKind,
    Parents,
    VhdxError,
    open_image,
    open_path,
)
from tests.unit.replikera.vhdx import foreign_file
from tests.unit.replikera.vhdx.foreign_chain import (
    SECTOR,
    Block,
    Volume,
    child,
    child_items,
    linkage,
)
from tests.unit.replikera.vhdx.foreign_file import MIB, entry, items

SECTORS = MIB // SECTOR


def parent_file(fill: int = 1, blocks: int = 4) -> bytearray:
    """Return a dynamic disk of 4 MiB whose block n holds the byte `fill` + n."""
    data = foreign_file.build(entries={n: entry(6, 4 + n) for n in range(blocks)}, file_mib=4)
    for number in range(blocks):
        data += bytes([fill + number]) * MIB
    return data


def open_chain(volume: Volume, name: str = "child.vhdx") -> Image:
    path = Path("/volume") / name
    return open_image(volume.open_read(path), parents=Parents(volume.open_read, volume.exists))


def test_each_state_of_a_block_comes_from_where_it_says() -> None:
    partial = Block(7, b"p" * MIB, frozenset({0, 3, 4, SECTORS - 1}))
    blocks = {1: Block(6, b"f" * MIB), 2: Block(2), 3: partial}
    image = open_chain(Volume({"parent.vhdx": parent_file(), "child.vhdx": child(blocks)}))

    expected = bytearray(b"\1" * MIB + b"f" * MIB + bytes(MIB) + b"\4" * MIB)
    for sector in partial.sectors:
        at = 3 * MIB + sector * SECTOR
        expected[at : at + SECTOR] = b"p" * SECTOR
    assert image.kind is ImageKind.DIFFERENCING
    assert image.read(4 * MIB, 0) == expected
    assert image.read(3000, 3 * MIB + 100) == expected[3 * MIB + 100 :][:3000]
    kinds = list(image.extents())
    assert kinds[:4] == [
        Extent(0, MIB, ExtentKind.PARENT),
        Extent(MIB, MIB, ExtentKind.DATA),
        Extent(2 * MIB, MIB, ExtentKind.ZERO),
        Extent(3 * MIB, SECTOR, ExtentKind.DATA),
    ]
    assert image.data_extents() == Extents.of([(0, 2 * MIB), (3 * MIB, MIB)])


def test_unmapped_blocks_of_a_child_are_zeros_not_the_parents() -> None:
    blocks = {0: Block(3), 1: Block(1)}
    image = open_chain(Volume({"parent.vhdx": parent_file(), "child.vhdx": child(blocks)}))

    assert image.read(2 * MIB, 0) == bytes(2 * MIB)
    assert [extent.kind for extent in image.extents(0, 2 * MIB)] == ["unmapped", "zero"]


def test_a_parent_smaller_than_its_child_is_zeros_behind_its_end() -> None:
    content = child_items(size=6 * MIB)
    image = open_chain(
        Volume({"parent.vhdx": parent_file(), "child.vhdx": child({}, content=content)})
    )

    assert image.read(3 * MIB, 3 * MIB) == b"\4" * MIB + bytes(2 * MIB)
    assert image.data_extents() == Extents.whole(4 * MIB)


def test_closing_the_child_closes_the_chain() -> None:
    volume = Volume({"parent.vhdx": parent_file(), "child.vhdx": child({})})
    open_chain(volume).close()

    assert [file.is_closed for file in volume.opened] == [True, True]


def test_a_child_without_a_way_to_its_parents_is_refused() -> None:
    volume = Volume({"child.vhdx": child({})})

    with pytest.raises(VhdxError, match="differencing disk.*Merge"):
        open_image(volume.open_read(Path("/volume/child.vhdx")))


def test_a_missing_parent_is_named() -> None:
    with pytest.raises(VhdxError, match=r"parent is missing \(it says: \.\\parent\.vhdx\)"):
        open_chain(Volume({"child.vhdx": child({})}))


@pytest.mark.parametrize("told", ["p" * 300 + ".vhdx", "a\uffff.vhdx", "."])
def test_a_parent_that_cannot_be_is_missing_or_unreadable(tmp_path: Path, told: str) -> None:
    path = tmp_path / "child.vhdx"
    path.write_bytes(child({}, content=child_items(told)))

    with pytest.raises(VhdxError, match="its parent"):
        open_path(SystemFiles(), path)


def test_a_parent_that_was_written_since_is_refused() -> None:
    told = {"parent_linkage": linkage(uuid.UUID(int=9)), "relative_path": "parent.vhdx"}
    content = child_items(values=told)
    volume = Volume({"parent.vhdx": parent_file(), "child.vhdx": child({}, content=content)})

    with pytest.raises(VhdxError, match="was changed since"):
        open_chain(volume)
    assert [file.is_closed for file in volume.opened] == [False, True]


def test_a_second_linkage_is_believed_too() -> None:
    told = {
        "parent_linkage": linkage(uuid.UUID(int=9)),
        "parent_linkage2": linkage(),
        "relative_path": "parent.vhdx",
    }
    content = child_items(values=told)

    assert (
        open_chain(
            Volume({"parent.vhdx": parent_file(), "child.vhdx": child({}, content=content)})
        ).read(1, 0)
        == b"\1"
    )


def test_a_chain_that_comes_back_to_itself_is_refused() -> None:
    volume = Volume(
        {
            "child.vhdx": child({}, content=child_items("b.vhdx")),
            "b.vhdx": child({}, content=child_items("child.vhdx")),
        }
    )

    with pytest.raises(VhdxError, match="comes back to itself: .*child.*b.*child"):
        open_chain(volume)
    assert [file.is_closed for file in volume.opened] == [False, True]


def test_a_chain_that_does_not_end_is_refused() -> None:
    names = [f"{number}.vhdx" for number in range(260)]
    volume = Volume(
        {
            name: child({}, content=child_items(following))
            for name, following in itertools.pairwise(names)
        }
    )

    with pytest.raises(VhdxError, match="more than 256 files"):
        open_chain(volume, "0.vhdx")


def test_a_parent_with_other_sectors_is_refused() -> None:
    content = items(sectors=(4096, 4096))
    volume = Volume({"parent.vhdx": foreign_file.build(content=content), "child.vhdx": child({})})

    with pytest.raises(VhdxError, match="512 bytes, those of its parent 4096"):
        open_chain(volume)


def test_a_partial_block_without_a_bitmap_is_damage() -> None:
    data = child({0: Block(7)})
    data[3 * MIB + 4096 * 8 : 3 * MIB + 4096 * 8 + 8] = bytes(8)
    volume = Volume({"parent.vhdx": parent_file(), "child.vhdx": data})

    with pytest.raises(VhdxError, match="block 0 is partially present, and .* no sector bitmap"):
        open_chain(volume).read(512, 0)


BLOCKS = st.dictionaries(
    st.integers(0, 3),
    st.builds(
        lambda state, fill, sectors: Block(state, bytes([fill]) * MIB, frozenset(sectors)),
        st.sampled_from([0, 2, 3, 6, 7]),
        st.integers(1, 255),
        st.sets(st.integers(0, SECTORS - 1), max_size=30),
    ),
)


@settings(max_examples=40, deadline=None)
@given(
    layers=st.lists(BLOCKS, min_size=1, max_size=3),
    reads=st.lists(st.tuples(st.integers(0, 4 * MIB), st.integers(0, 2 * MIB)), max_size=4),
)
def test_any_chain_reads_like_its_layers_one_over_the_other(
    layers: list[dict[int, Block]], reads: list[tuple[int, int]]
) -> None:
    names = ["parent.vhdx", *(f"{number}.vhdx" for number in range(len(layers)))]
    files = {"parent.vhdx": parent_file(200)}
    model = bytearray(b"".join(bytes([200 + number]) * MIB for number in range(4)))
    for name, below, blocks in zip(names[1:], names, layers, strict=False):
        files[name] = child(blocks, content=child_items(below))
        for number, block in blocks.items():
            _lay(model, number, block)
    image = open_chain(Volume(files), names[-1])

    assert image.read(4 * MIB, 0) == model
    for offset, length in reads:
        step = min(length, 4 * MIB - offset)
        assert image.read(step, offset) == model[offset : offset + step]
    for start, length in Extents.whole(4 * MIB).subtract(image.data_extents()):
        assert not any(model[start : start + length])
    assert sum(extent.length for extent in image.extents()) == 4 * MIB


def _lay(model: bytearray, number: int, block: Block) -> None:
    start = number * MIB
    if block.state == 6:
        model[start : start + MIB] = block.data
    elif block.state in {2, 3}:
        model[start : start + MIB] = bytes(MIB)
    elif block.state == 7:
        for sector in block.sectors:
            at = start + sector * SECTOR
            model[at : at + SECTOR] = block.data[:SECTOR]
