"""Names in the folder of a replica."""

from pathlib import Path

from agent.replica.layout import REDO, UNDO, Layout, sequences

LAYOUT = Layout(Path("/r"))


def test_names_sort_like_their_sequences() -> None:
    names = [LAYOUT.redo_file(number).name for number in (9, 10, 123456)]
    assert names == sorted(names)
    assert sequences(names, REDO) == [9, 10, 123456]


def test_other_names_are_left_out() -> None:
    names = [
        LAYOUT.redo_file(3).name,
        LAYOUT.undo_file(4).name,
        LAYOUT.open_file(5, 1).name,
        LAYOUT.redo_file(6).name + ".new",
        "x.redo",
        "3.redo",
        "٣" * 20 + ".redo",
    ]
    assert sequences(names, REDO) == [3]
    assert sequences(names, UNDO) == [4]


def test_images_of_attempts_are_told_from_other_names() -> None:
    assert LAYOUT.is_images(LAYOUT.images(7).name)
    assert not LAYOUT.is_images(LAYOUT.journal.name)
    assert LAYOUT.images(1) != LAYOUT.images(11)
