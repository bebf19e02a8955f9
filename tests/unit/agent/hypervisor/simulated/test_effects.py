import json
from pathlib import Path

import pytest
from typing_extensions import override

from agent.hypervisor.simulated.effects import EFFECT_FILE, Effects, Evidence
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness
from tests.support.simulated_host import Bed


class Killed(BaseException):
    """The process ended here."""


def change(bed: Bed, name: str, *, after: str = "", effects: Effects | None = None) -> None:
    """Write a file of the host as an effect, and die where `after` says."""
    path = bed.host.root / name
    made = (effects or bed.effects).making(
        bed.host.root, "changed", name, "p1", Evidence(path, b"new")
    )
    with made:
        if after == "announcing":
            raise Killed
        path.write_bytes(b"new")
        if after == "changing":
            raise Killed


def log_of(bed: Bed) -> Path:
    return bed.host.root / "effects.log"


def test_every_change_is_a_line(bed: Bed) -> None:
    change(bed, "a")
    change(bed, "b")
    lines = [json.loads(line) for line in log_of(bed).read_text().splitlines()]
    assert [(line["effect"], line["object"], line["tag"]) for line in lines] == [
        ("changed", "a", "p1"),
        ("changed", "b", "p1"),
    ]
    assert lines[0]["time"] == "2026-03-01T00:00:01+00:00"
    assert lines[0]["id"] != lines[1]["id"]
    assert not bed.effects.is_unsettled(bed.host.root)


def test_what_ends_with_a_file_gone_is_a_line_too(bed: Bed) -> None:
    path = bed.host.root / "a"
    path.write_bytes(b"")
    with bed.effects.making(bed.host.root, "removed", "a", "p1", Evidence(path, None)):
        path.unlink()
    assert bed.logged() == [("removed", "a", "p1")]


def test_a_change_whose_line_was_cut_off_by_a_kill_gets_it_from_the_next(bed: Bed) -> None:
    with pytest.raises(Killed):
        change(bed, "a", after="changing")
    assert bed.logged() == []
    assert bed.effects.is_unsettled(bed.host.root)
    bed.effects.settle(bed.host.root)
    bed.effects.settle(bed.host.root)
    assert bed.logged() == [("changed", "a", "p1")]


def test_a_later_change_does_not_hide_the_one_before(bed: Bed) -> None:
    with pytest.raises(Killed):
        change(bed, "a", after="changing")
    change(bed, "b")
    assert [subject for _, subject, _ in bed.logged()] == ["a", "b"]


def test_a_change_that_was_announced_and_not_made_is_no_line(bed: Bed) -> None:
    with pytest.raises(Killed):
        change(bed, "a", after="announcing")
    bed.effects.settle(bed.host.root)
    assert bed.logged() == []
    assert not bed.effects.is_unsettled(bed.host.root)


def test_a_change_that_failed_half_way_is_told_as_it_was_left(bed: Bed) -> None:
    path = bed.host.root / "a"
    made = bed.effects.making(bed.host.root, "changed", "a", "p1", Evidence(path, b"new"))
    with pytest.raises(OSError, match="full"), made:
        path.write_bytes(b"ne")
        raise OSError("full")
    bed.effects.settle(bed.host.root)
    assert bed.logged() == []


def test_a_line_that_is_there_is_not_added_again(bed: Bed) -> None:
    class MortalFiles(SystemFiles):
        @override
        def remove(self, path: Path) -> None:
            raise Killed

    mortal = Effects(MortalFiles(), bed.clock, SystemRandomness(), bed.host.root)
    for number in range(600):  # More than one step of the search.
        change(bed, f"before-{number}")
    with pytest.raises(Killed):
        change(bed, "a", effects=mortal)
    with log_of(bed).open("ab") as log:
        log.write(b'{"of": "another machine"}\n' * 5000)
    bed.effects.settle(bed.host.root)
    assert log_of(bed).read_text().count('"object": "a"') == 1


def test_a_line_that_was_cut_off_is_written_again(bed: Bed) -> None:
    change(bed, "a")
    with pytest.raises(Killed):
        change(bed, "b", after="changing")
    with log_of(bed).open("ab") as log:
        log.write(b'{"time": "2026-03-01T00:0')
    bed.effects.settle(bed.host.root)
    assert [subject for _, subject, _ in bed.logged()] == ["a", "b"]


def test_what_a_power_cut_made_of_an_announcement_is_no_obstacle(bed: Bed) -> None:
    (bed.host.root / EFFECT_FILE).write_bytes(b"\0" * 40)
    (bed.host.root / f"{EFFECT_FILE}.new").write_bytes(b"")
    change(bed, "a")
    assert bed.logged() == [("changed", "a", "p1")]


def test_a_place_that_is_gone_has_nothing_to_settle(bed: Bed) -> None:
    gone = bed.host.root / "machines" / "gone"
    assert not bed.effects.is_unsettled(gone)
    bed.effects.settle(gone)
    assert bed.logged() == []
