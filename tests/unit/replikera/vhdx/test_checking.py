"""A check tells everything that is wrong, writes nothing, and agrees with the reader."""

import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from replikera.system.files import SystemFiles
from replikera.vhdx import ImageKind, VhdxError, create_image, open_path
from replikera.vhdx.checking import CheckReport, CopyState, LogState, check
from tests.unit.replikera.vhdx import foreign_file, foreign_log
from tests.unit.replikera.vhdx.conftest import SeededRandomness
from tests.unit.replikera.vhdx.foreign_chain import Block, child, child_items, linkage
from tests.unit.replikera.vhdx.foreign_file import MIB, entry
from tests.unit.replikera.vhdx.test_samples import needs_samples, unpack

FILES = SystemFiles()
CURRENT, VALID, INVALID = CopyState.CURRENT, CopyState.VALID, CopyState.INVALID


def checked(folder: Path, content: Mapping[str, bytes | bytearray], name: str = "") -> CheckReport:
    """Write files and check one of them, or the only one; see that nothing was written."""
    for each, data in content.items():
        (folder / each).write_bytes(data)
    path = folder / (name or next(iter(content)))
    report = check(FILES, path)
    assert {each: (folder / each).read_bytes() for each in content} == content
    if not report.problems or report.would_replay_mend:
        open_path(FILES, path).close()
    return report


def problems(report: CheckReport) -> list[str]:
    for problem in report.problems:
        assert problem.remedy
    return [problem.what for problem in report.problems]


def dirty(entries: list[foreign_log.Entry], **build: object) -> bytearray:
    headers = (foreign_file.header(7), foreign_file.header(8, log_id=foreign_log.LOG_ID))
    data = foreign_file.build(headers=headers, file_mib=6)
    data[MIB : 2 * MIB] = foreign_log.write_log(entries)
    return data


def new_table(*entries: int) -> foreign_log.Page:
    return foreign_log.Page(3 * MIB, struct.pack(f"<{len(entries)}Q", *entries).ljust(4096, b"\0"))


def test_a_sound_file_has_no_problem(tmp_path: Path) -> None:
    data = foreign_file.build(entries={0: entry(6, 5), 2: entry(2)}, file_mib=7)
    report = checked(tmp_path, {"disk.vhdx": data})

    assert problems(report) == []
    assert (report.kind, report.size, report.file_size) == (ImageKind.DYNAMIC, 4 * MIB, 7 * MIB)
    assert report.headers == (VALID, CURRENT)
    assert report.region_tables == (CURRENT, VALID)
    assert (report.log, report.is_log_dirty, report.would_replay_mend) == ("empty", False, False)
    assert report.data_write_id == foreign_file.DATA_WRITE_ID
    assert report.allocated == MIB
    assert report.leaked == 2 * MIB, "the units 4 and 6"


def test_a_new_file_leaks_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new.vhdx"
    with create_image(FILES.create(path), size=64 * MIB, randomness=SeededRandomness(1)) as image:
        image.write(b"x" * 512, 9 * MIB)
    report = check(FILES, path)

    assert problems(report) == []
    assert (report.leaked, report.allocated) == (0, 2 * MIB)


def test_a_last_block_that_was_cut_off_leaks_nothing(tmp_path: Path) -> None:
    content = foreign_file.items(size=MIB + 512)
    data = foreign_file.build(content=content, entries={0: entry(6, 4), 1: entry(6, 5)}, file_mib=6)
    report = checked(tmp_path, {"disk.vhdx": data[: 5 * MIB + 512]})

    assert (problems(report), report.leaked) == ([], 0)


def test_a_log_that_replays_is_all_that_is_to_be_mended(tmp_path: Path) -> None:
    data = dirty([foreign_log.Entry(5, [new_table(entry(6, 4))])])
    report = checked(tmp_path, {"disk.vhdx": data})

    assert problems(report) == [
        "its log is not empty: the newest changes of its tables are only there"
    ]
    assert report.problems[0].remedy.startswith("A replay would mend it")
    assert (report.log, report.is_log_dirty, report.would_replay_mend) == ("dirty", True, True)
    assert (report.allocated, report.leaked) == (MIB, MIB), "as they are after the replay"


def test_a_replay_does_not_mend_what_the_log_itself_breaks(tmp_path: Path) -> None:
    report = checked(
        tmp_path, {"disk.vhdx": dirty([foreign_log.Entry(5, [new_table(entry(6, 99))])])}
    )

    assert len(report.problems) == 2
    assert "block 0 lies outside the file" in problems(report)[1]
    assert not report.would_replay_mend


def test_a_log_without_a_sequence_is_told_once_and_the_rest_still_shown(tmp_path: Path) -> None:
    data = dirty([])
    data[3 * MIB : 3 * MIB + 8] = struct.pack("<Q", entry(6, 99))
    report = checked(tmp_path, {"disk.vhdx": data})

    assert problems(report) == [
        "its log is not empty, and holds no valid sequence of entries: the file is damaged"
    ]
    assert (report.log, report.is_log_dirty) == (LogState.DAMAGED, True)
    assert not report.would_replay_mend
    assert (report.kind, report.size) == (ImageKind.DYNAMIC, 4 * MIB)


@pytest.mark.parametrize(("spoiled", "states"), [(0, (INVALID, CURRENT)), (1, (CURRENT, INVALID))])
def test_a_torn_header_is_no_problem(
    tmp_path: Path, spoiled: int, states: tuple[CopyState, ...]
) -> None:
    """A crash leaves one, and the other is there for that."""
    data = foreign_file.build()
    data[foreign_file.HEADERS[spoiled] + 100] ^= 1
    report = checked(tmp_path, {"disk.vhdx": data})

    assert (problems(report), report.headers) == ([], states)


def test_of_equal_headers_the_first_counts(tmp_path: Path) -> None:
    data = foreign_file.build(headers=(foreign_file.header(3), foreign_file.header(3)))
    assert checked(tmp_path, {"disk.vhdx": data}).headers == (CURRENT, VALID)


@pytest.mark.parametrize(
    ("spoiled", "name", "states"),
    [(0, "first", (INVALID, CURRENT)), (1, "second", (CURRENT, INVALID))],
)
def test_a_damaged_copy_of_the_region_table_is_told(
    tmp_path: Path, spoiled: int, name: str, states: tuple[CopyState, ...]
) -> None:
    data = foreign_file.build()
    data[foreign_file.REGION_TABLES[spoiled] + 100] ^= 1
    report = checked(tmp_path, {"disk.vhdx": data})

    assert problems(report) == [f"the {name} region table is damaged"]
    assert "still reads right" in report.problems[0].remedy
    assert (report.region_tables, report.survey is not None) == (states, True)
    open_path(FILES, tmp_path / "disk.vhdx").close()


def test_region_tables_that_differ_are_told(tmp_path: Path) -> None:
    data = foreign_file.build()
    other = foreign_file.region_table([(foreign_file.BAT, 3 * MIB, MIB, 1)])
    data[foreign_file.REGION_TABLES[1] : foreign_file.REGION_TABLES[1] + len(other)] = other
    assert problems(checked(tmp_path, {"disk.vhdx": data})) == ["the two region tables differ"]


def test_several_problems_are_told_together(tmp_path: Path) -> None:
    data = foreign_file.build(entries={0: entry(6, 99)}, content=foreign_file.items())
    data[foreign_file.REGION_TABLES[0] + 100] ^= 1
    found = problems(checked(tmp_path, {"disk.vhdx": data}))

    assert found[0] == "the first region table is damaged"
    assert "block 0 lies outside the file" in found[1]
    assert len(found) == 2


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "it is not a VHDX file"),
        (b"conectix" * 100, "it is not a VHDX file"),
        (b"vhdxfile", "neither header is valid"),
        (bytes(foreign_file.build()[:MIB]), "behind the end of the file"),
        (
            bytes(foreign_file.build(content=foreign_file.items(block_size=3 * MIB))),
            "the block size is",
        ),
    ],
)
def test_damage_never_raises(tmp_path: Path, data: bytes, problem: str) -> None:
    found = problems(checked(tmp_path, {"disk.vhdx": data}))
    assert len(found) == 1
    assert problem in found[0]


def test_what_cannot_be_read_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        check(FILES, tmp_path / "missing.vhdx")
    with pytest.raises(IsADirectoryError):
        check(FILES, tmp_path)


def parent_file() -> bytearray:
    return foreign_file.build(entries={0: entry(6, 4)}, file_mib=5)


def test_a_whole_chain_is_listed(tmp_path: Path) -> None:
    content = {
        "youngest.vhdx": child({}, content=child_items("middle.vhdx")),
        "middle.vhdx": child({1: Block(7, sectors=frozenset({3}))}),
        "parent.vhdx": parent_file(),
    }
    report = checked(tmp_path, content)

    assert (problems(report), report.kind) == ([], ImageKind.DIFFERENCING)
    assert report.parents == (tmp_path / "middle.vhdx", tmp_path / "parent.vhdx")
    assert check(FILES, tmp_path / "middle.vhdx").leaked == 0


def test_a_missing_parent_is_told(tmp_path: Path) -> None:
    report = checked(tmp_path, {"child.vhdx": child({})})

    assert problems(report) == ["its parent is missing (it says: .\\parent.vhdx)"]
    assert (report.parents, report.size) == ((), 4 * MIB)


def test_a_changed_parent_is_told(tmp_path: Path) -> None:
    told = {"parent_linkage": linkage(foreign_file.STRANGER), "relative_path": ".\\parent.vhdx"}
    content = {
        "child.vhdx": child({}, content=child_items(values=told)),
        "parent.vhdx": parent_file(),
    }
    report = checked(tmp_path, content)

    assert len(report.problems) == 1
    assert "was changed since it was made" in problems(report)[0]


def test_a_damaged_parent_is_told_under_its_own_name(tmp_path: Path) -> None:
    content = {
        "child.vhdx": child({}),
        "parent.vhdx": foreign_file.build(entries={0: entry(6, 99)}),
    }
    report = checked(tmp_path, content)

    assert [problem.path.name for problem in report.problems] == ["parent.vhdx"]
    assert report.parents == (tmp_path / "parent.vhdx",)


def test_a_dirty_parent_is_mended_by_its_replay(tmp_path: Path) -> None:
    parent = dirty([foreign_log.Entry(5, [new_table(entry(6, 4))])])
    report = checked(tmp_path, {"child.vhdx": child({}), "parent.vhdx": parent})

    assert (report.log, report.would_replay_mend) == (LogState.EMPTY, True)
    assert report.problems[0].path.name == "parent.vhdx"


def test_a_parent_of_other_sectors_is_told(tmp_path: Path) -> None:
    parent = foreign_file.build(content=foreign_file.items(sectors=(4096, 4096)))
    found = problems(checked(tmp_path, {"child.vhdx": child({}), "parent.vhdx": parent}))

    assert len(found) == 1
    assert "its sectors have 512 bytes" in found[0]


def test_a_chain_without_an_end_is_told(tmp_path: Path) -> None:
    content = {
        "child.vhdx": child({}),
        "parent.vhdx": child({}, content=child_items("child.vhdx")),
    }
    report = checked(tmp_path, content)

    assert len(report.problems) == 1
    assert "comes back to itself" in problems(report)[0]
    assert report.parents == (tmp_path / "parent.vhdx",)


def test_a_parent_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "parent.vhdx").mkdir()
    report = checked(tmp_path, {"child.vhdx": child({})})

    assert [what.partition(":")[0] for what in problems(report)][:1] == ["it cannot be read"]


def test_blocks_whose_sector_bitmap_is_missing_are_told(tmp_path: Path) -> None:
    data = child({0: Block(7, sectors=frozenset({1}))})
    struct.pack_into("<Q", data, 3 * MIB + 8 * 4096, 0)
    report = checked(tmp_path, {"child.vhdx": data, "parent.vhdx": parent_file()})

    assert problems(report) == ["chunk 0 has partially present blocks, and no sector bitmap"]


@needs_samples
@pytest.mark.parametrize(
    ("name", "is_dirty"),
    [
        ("fat-parent.vhdx.gz", False),
        ("fat-differential.vhdx.gz", False),
        ("swap.vhdx.gz", False),
        ("iotest-dynamic-1G.vhdx.bz2", False),
        ("iotest-dirtylog-10G-4M.vhdx.bz2", True),
    ],
)
def test_real_files_are_sound(tmp_path: Path, name: str, is_dirty: bool) -> None:
    unpack("fat-parent.vhdx.gz", tmp_path)
    report = check(FILES, unpack(name, tmp_path))

    assert report.would_replay_mend == bool(report.problems) == report.is_log_dirty == is_dirty


def opens(path: Path) -> bool:
    try:
        open_path(FILES, path).close()
    except VhdxError:
        return False
    return True


def test_the_check_agrees_with_the_reader(tmp_path: Path) -> None:
    """Bytes of the metadata table are spoiled, one in every file."""
    path = tmp_path / "child.vhdx"
    (tmp_path / "parent.vhdx").write_bytes(parent_file())
    path.write_bytes(child({0: Block(7, sectors=frozenset({1}))}))
    for at in range(2 * MIB, 2 * MIB + 224, 7):
        with path.open("r+b") as file:
            file.seek(at)
            sound = file.read(1)
            file.seek(at)
            file.write(bytes([sound[0] ^ 0xFF]))
            file.flush()
            assert opens(path) == (not check(FILES, path).problems), at
            file.seek(at)
            file.write(sound)
