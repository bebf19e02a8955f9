"""The whole table against the file: what it may not say is refused, wherever it says it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replikera.vhdx.errors import VhdxError
from replikera.vhdx.metadata import Metadata
from replikera.vhdx.regions import Region
from replikera.vhdx.table_check import check_table, survey_table
from tests.unit.replikera.vhdx.foreign_file import MIB, entry
from tests.unit.replikera.vhdx.test_bat import PARENT, REGION, file_with, geometry

RESERVED = (Region("the log", MIB, MIB), Region("the metadata", 2 * MIB, MIB), REGION)


def check(entries: dict[int, int], metadata: Metadata | None = None, file_mib: int = 8) -> int:
    return check_table(
        file_with(entries, file_mib), REGION, metadata or geometry(4 * MIB), RESERVED
    )


def test_the_end_of_the_blocks_is_told() -> None:
    assert check({}) == 0
    assert check({0: entry(6, 6), 2: entry(6, 4)}) == 7 * MIB


@pytest.mark.parametrize("state", [0, 1, 2, 3, 5])
def test_the_place_of_a_block_without_data_means_nothing(state: int) -> None:
    assert check({1: entry(state, 1 << 40), 2: entry(state, 1)}) == 0


def test_reserved_bits_of_an_entry_are_ignored() -> None:
    assert check({0: entry(6, 5) | 0xFF8}) == 6 * MIB


def test_a_last_block_cut_behind_the_disks_end_is_accepted() -> None:
    file = file_with({0: entry(6, 4), 1: entry(6, 5)})
    del file.content[5 * MIB + 512 :]

    assert check_table(file, REGION, geometry(MIB + 512), RESERVED) == 6 * MIB


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ({1: entry(4)}, "block 1 has state 4"),
        ({2: entry(7, 4)}, "block 2 has state 7"),
        ({0: entry(6, 0)}, "block 0 lies outside the file"),
        ({3: entry(6, 8)}, "block 3 lies outside the file"),
        ({3: entry(6, 1 << 43)}, "block 3 lies outside the file"),
        ({3: entry(6, (1 << 43) - 1)}, "block 3 lies outside the file"),
        ({0: entry(6, 5), 2: entry(6, 5)}, f"two blocks overlap at {5 * MIB} in the file"),
        ({1: entry(6, 1)}, "a block overlaps the log"),
        ({1: entry(6, 3)}, "a block overlaps the block allocation table"),
    ],
)
def test_what_a_table_may_not_say_is_refused(entries: dict[int, int], problem: str) -> None:
    with pytest.raises(VhdxError, match=rf"disk\.vhdx: {problem}"):
        check(entries)


@pytest.mark.parametrize("place", [8, 127, 1 << 40])
def test_a_block_behind_the_disks_end_must_be_in_the_file_too(place: int) -> None:
    """The table of a differencing file goes on to the end of its last chunk."""
    last = geometry(4 * MIB, parent=PARENT).chunk_ratio - 1
    assert check({last: entry(6, 7)}, geometry(4 * MIB, parent=PARENT)) == 8 * MIB
    with pytest.raises(VhdxError, match=f"block {last} lies outside the file"):
        check({last: entry(6, place)}, geometry(4 * MIB, parent=PARENT))


def test_a_survey_counts_what_is_used() -> None:
    metadata = geometry(4 * MIB, parent=PARENT)
    ratio = metadata.chunk_ratio
    file = file_with({0: entry(7, 4), 1: entry(6, 7), ratio: entry(6, 5)}, 9)
    found = survey_table(file, REGION, metadata, RESERVED)

    assert (found.end, found.block_count, found.unused) == (8 * MIB, 2, 2 * MIB)
    assert found.chunks_without_bitmap == ()


def test_a_survey_names_the_bitmaps_that_are_missing() -> None:
    metadata = geometry(4 * MIB, parent=PARENT)
    file = file_with({0: entry(7, 4)}, 8)
    assert survey_table(file, REGION, metadata, RESERVED).chunks_without_bitmap == (0,)


def test_blocks_that_overlap_in_part_are_refused() -> None:
    with pytest.raises(VhdxError, match="two blocks overlap"):
        check({0: entry(6, 5), 1: entry(6, 4)}, geometry(8 * MIB, 2 * MIB))


def test_a_block_that_reaches_into_a_region_is_refused() -> None:
    other = Region("region x", 5 * MIB, MIB)
    file = file_with({0: entry(6, 4)})

    with pytest.raises(VhdxError, match="a block overlaps region x"):
        check_table(file, REGION, geometry(4 * MIB, 2 * MIB), (other,))


def test_a_region_too_short_for_the_disk_is_refused() -> None:
    with pytest.raises(VhdxError, match="too short for 131073 blocks"):
        check({}, geometry(131073 * MIB))


def test_a_table_cut_off_by_the_files_end_is_refused() -> None:
    file = file_with({}, file_mib=4)
    file.data_ranges = lambda: iter([(0, 4 * MIB)])  # type: ignore[method-assign]
    del file.content[3 * MIB + 8 :]

    with pytest.raises(VhdxError, match="table is truncated"):
        check_table(file, REGION, geometry(4 * MIB), ())


def test_sector_bitmaps_of_differencing_files_are_checked_too() -> None:
    metadata = geometry(40 * 256 * MIB, 256 * MIB, parent=PARENT)

    assert check({16: entry(6, 5)}, metadata) == 6 * MIB
    with pytest.raises(VhdxError, match="sector bitmap of chunk 1 has state 2"):
        check({33: entry(2)}, metadata)
    with pytest.raises(
        VhdxError, match="the sector bitmap of chunk 0 8? ?lies outside|chunk 0 lies"
    ):
        check({16: entry(6, 80)}, metadata)
    with pytest.raises(VhdxError, match="two blocks overlap"):
        check({16: entry(6, 5), 33: entry(6, 5)}, metadata)


def test_sector_bitmaps_without_a_parent_mean_nothing() -> None:
    assert check({16: entry(6, 1), 33: entry(3)}, geometry(40 * 256 * MIB, 256 * MIB)) == 0


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.integers(0, 7), st.tuples(st.sampled_from([0, 2, 3, 6]), st.integers(0, 20)))
)
def test_a_table_is_accepted_exactly_if_its_blocks_are_apart(
    chosen: dict[int, tuple[int, int]],
) -> None:
    metadata = geometry(16 * MIB, 2 * MIB)
    placed = [place for state, place in chosen.values() if state == 6]
    used = [unit for place in placed for unit in (place, place + 1)]
    is_right = len(set(used)) == len(used) and all(4 <= unit < 18 for unit in used)
    entries = {block: entry(state, place) for block, (state, place) in chosen.items()}

    try:
        end = check(entries, metadata, file_mib=18)
    except VhdxError:
        assert not is_right
    else:
        assert is_right
        assert end == max((place + 2 for place in placed), default=0) * MIB
