"""Names in the folder of a replica."""

from pathlib import Path

from agent.replica.layout import REDO, UNDO, Layout, image_attempts, open_attempts, sequences

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


def test_attempts_are_found_by_their_names() -> None:
    names = [
        LAYOUT.open_file(5, 2).name,
        LAYOUT.open_file(5, 10).name,
        LAYOUT.open_file(4, 1).name,
        LAYOUT.redo_file(5).name,
        "5.1.open",
        f"{5:020d}.x.open",
        f"{5:020d}.1.2.open",
        f"{5:020d}.{'9' * 30}.open",
    ]
    assert open_attempts(names) == [(4, 1), (5, 2), (5, 10)]
    assert image_attempts(["initial-2", "initial-10", "initial-x", "initial-", "journal"]) == [
        2,
        10,
    ]
    assert LAYOUT.pass_file(2).parent == LAYOUT.images(2)
