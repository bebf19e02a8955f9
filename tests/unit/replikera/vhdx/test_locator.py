"""The parent locator: what it says, and what it may not."""

import struct
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replikera.vhdx.errors import VhdxError
from replikera.vhdx.locator import ParentLocator, candidate_paths, decode_locator
from tests.unit.replikera.vhdx import foreign_chain
from tests.unit.replikera.vhdx.foreign_chain import linkage

CHILD = Path("/disks/vm/child.vhdx")
ONE = uuid.UUID(int=1)


def test_a_locator_of_another_writer_is_read() -> None:
    item = foreign_chain.locator(
        {
            "absolute_win32_path": r"\\?\D:\disks\parent.vhdx",
            "parent_linkage": linkage(ONE).upper(),
            "relative_path": r"..\parent.vhdx",
            "something_else": "x",
        }
    )

    assert decode_locator(CHILD, item) == ParentLocator(
        (ONE,),
        (
            ("relative_path", r"..\parent.vhdx"),
            ("absolute_win32_path", r"\\?\D:\disks\parent.vhdx"),
        ),
    )


@given(
    st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60
    )
)
def test_what_is_encoded_is_decoded(path: str) -> None:
    locator = ParentLocator((ONE,), (("relative_path", path),))

    assert decode_locator(CHILD, locator.encode()) == locator


def test_texts_over_each_other_are_refused() -> None:
    """60,000 values of one text would be gigabytes."""
    count = 1000
    entries = b"".join(
        struct.pack("<IIHH", 20 + 12 * count + 4 * number, 20 + 12 * count, 4, 60_000)
        for number in range(count)
    )
    head = foreign_chain.VHDX_LOCATOR.bytes_le + struct.pack("<HH", 0, count)
    texts = "".join(chr(0x4E00 + number) * 2 for number in range(count)).encode("utf-16-le")
    item = head + entries + texts.ljust(60_000, b"a")
    with pytest.raises(VhdxError, match="over each other"):
        decode_locator(CHILD, item)


RIGHT = foreign_chain.locator({"parent_linkage": linkage(ONE)})


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        (b"", "damaged"),
        (RIGHT[:25], "damaged"),
        (foreign_chain.locator({}, kind=ONE), "of type 00000000"),
        (foreign_chain.locator({"relative_path": "x"}), "does not say which parent"),
        (foreign_chain.locator({"parent_linkage": "{no}"}), "damaged"),
        (foreign_chain.locator({"parent_linkage": linkage(ONE), "a": "b\0c"}), "holds NUL"),
        (RIGHT[:20] + b"\xff\xff\xff\x7f" + RIGHT[24:], "not inside it"),
        (RIGHT[:30] + b"\0\0" + RIGHT[32:], "not inside it"),
        (RIGHT[:28] + b"\3\0" + RIGHT[30:], "damaged"),
        (foreign_chain.locator({"parent_linkage": linkage(ONE)}, count=3), "damaged"),
    ],
)
def test_what_a_locator_may_not_say_is_refused(item: bytes, problem: str) -> None:
    with pytest.raises(VhdxError, match=problem):
        decode_locator(CHILD, item)


def test_a_key_given_twice_is_refused() -> None:
    pair = foreign_chain.locator({"aa": "1", "ab": "2"})
    twice = pair.replace("ab".encode("utf-16-le"), "aa".encode("utf-16-le"))

    with pytest.raises(VhdxError, match="names aa twice"):
        decode_locator(CHILD, twice)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ((("relative_path", r".\parent.vhdx"),), ["/disks/vm/parent.vhdx"]),
        ((("relative_path", r"..\other\p.vhdx"),), ["/disks/vm/../other/p.vhdx"]),
        ((("relative_path", r"C:\p.vhdx"),), []),
        ((("absolute_win32_path", r"\\?\C:\p.vhdx"),), []),
        (
            (("relative_path", "p.vhdx"), ("absolute_win32_path", "/disks/p.vhdx")),
            ["/disks/vm/p.vhdx", "/disks/p.vhdx"],
        ),
    ],
)
def test_the_parent_is_looked_for_where_the_locator_says(
    paths: tuple[tuple[str, str], ...], expected: list[str]
) -> None:
    found = candidate_paths(CHILD, ParentLocator((ONE,), paths))

    assert [str(path) for path in found] == expected
