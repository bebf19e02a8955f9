import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.source.errors import AssignmentError, StateFileError
from agent.source.state import (
    MAX_STATE_BYTES,
    Assignment,
    SourceState,
    StateFolder,
    check_assignment,
)
from agent.source.status import Failure
from replikera.blocks.segment import MAX_DISKS, DiskGeometry
from replikera.system.files import SystemFiles

PROTECTION = "11111111-1111-4111-8111-111111111111"
GENERATION = "22222222-2222-4222-8222-222222222222"
NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
DISKS = (DiskGeometry("disk-a", "a.vhdx", 1 << 20, 512),)
ASSIGNMENT = Assignment(
    PROTECTION, 1, GENERATION, "machine-1", "target", "host:1", timedelta(seconds=30)
)
FRESH = SourceState(ASSIGNMENT)
ISSUED = FRESH.issued("view-1", NOW, b"m" * 32, DISKS)
PENDING = ISSUED.with_digest(b"d" * 32)
SEALED = PENDING.acknowledged()


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    folder = StateFolder(SystemFiles(), tmp_path / "protections")
    folder.prepare()
    return folder


@pytest.mark.parametrize(
    "state",
    [
        FRESH,
        ISSUED,
        PENDING,
        SEALED,
        SEALED.settled("mark-1"),
        SEALED.settled("mark-1").issued("view-2", NOW, b"m" * 32, DISKS),
        SEALED.resync_required(Failure("diverged", "Because.", "Do.")),
    ],
)
def test_a_state_is_read_back_as_it_was_saved(folder: StateFolder, state: SourceState) -> None:
    folder.save(state)
    assert folder.load(PROTECTION) == state


def test_an_attempt_is_followed_by_a_head_and_a_higher_attempt() -> None:
    assert ISSUED.open is not None
    assert (ISSUED.open.sequence, ISSUED.open.attempt, ISSUED.open.digest) == (1, 1, None)
    assert (SEALED.head.sequence, SEALED.head.digest, SEALED.open) == (1, b"d" * 32, None)
    assert SEALED.unsettled_view_id == "view-1"
    second = SEALED.with_attempt_floor(9).issued("view-2", NOW, b"m" * 32, DISKS)
    assert second.open is not None
    assert (second.open.sequence, second.open.attempt) == (2, 10)


def test_an_abandoned_attempt_s_number_is_not_given_again() -> None:
    again = PENDING.abandoned().issued("view-2", NOW, b"m" * 32, DISKS)
    assert again.open is not None
    assert (again.open.sequence, again.open.attempt) == (1, 2)


def test_a_floor_below_our_own_attempts_changes_nothing() -> None:
    assert ISSUED.with_attempt_floor(0).attempt == 1


def test_no_attempt_begins_inside_another_or_after_a_required_resync() -> None:
    with pytest.raises(AssertionError, match="open"):
        ISSUED.issued("view-2", NOW, b"m" * 32, DISKS)
    with pytest.raises(AssertionError, match="none may"):
        FRESH.resync_required(Failure("a", "b", "c")).issued("v", NOW, b"m" * 32, DISKS)


def test_a_segment_without_trailer_is_never_acknowledged() -> None:
    with pytest.raises(AssertionError, match="without trailer"):
        ISSUED.acknowledged()


def test_a_state_of_the_largest_machine_fits(folder: StateFolder) -> None:
    disks = tuple(
        DiskGeometry(f"{n}".rjust(255, "d"), f"{n}".rjust(255, "n"), 1 << 40, 512)
        for n in range(MAX_DISKS)
    )
    state = FRESH.issued("v" * 1024, NOW, b"m" * 32, disks).with_digest(b"d" * 32).acknowledged()
    folder.save(state.issued("w" * 1024, NOW, b"m" * 32, disks))
    size = (folder._folder / f"{PROTECTION}.json").stat().st_size
    assert 64 * 1024 < size <= MAX_STATE_BYTES


def test_unknown_protections_have_no_state(folder: StateFolder) -> None:
    assert folder.load(GENERATION) is None


def test_only_state_files_are_protections(folder: StateFolder) -> None:
    folder.save(FRESH)
    (folder._folder / f"{GENERATION}.json.new").write_bytes(b"half")
    assert folder.protection_ids() == [PROTECTION]


def _change(path: str, value: Any) -> Any:
    def change(fields: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for parent in parents:
            fields = fields[parent]
        fields[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_change("version", 2), "version 2"),
        (_change("surprise", 1), "surprise"),
        (_change("attempt", "1"), "attempt"),
        (_change("attempt", -1), "attempt"),
        (_change("head.digest", "00"), "head.digest"),
        (_change("head.digest", "00" * 32), "digest"),
        (_change("open.sequence", 5), "open attempt"),
        (_change("open.attempt", 9), "open attempt"),
        (_change("assignment.protection_id", GENERATION), "about protection"),
        (_change("assignment.copy_frequency", "PT0S"), "copy_frequency"),
    ],
)
def test_a_state_file_that_was_not_written_here_is_refused_by_name(
    folder: StateFolder, change: Any, problem: str
) -> None:
    folder.save(SEALED.settled("mark-1").issued("view-2", NOW, b"m" * 32, DISKS))
    path = folder._folder / f"{PROTECTION}.json"
    fields = json.loads(path.read_bytes())
    change(fields)
    path.write_text(json.dumps(fields))

    with pytest.raises(StateFileError, match=problem) as raised:
        folder.load(PROTECTION)
    assert str(path) in raised.value.failure.cause


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"x" * (MAX_STATE_BYTES + 1)])
def test_a_state_file_that_is_none_is_refused(folder: StateFolder, data: bytes) -> None:
    (folder._folder / f"{PROTECTION}.json").write_bytes(data)
    with pytest.raises(StateFileError):
        folder.load(PROTECTION)


@pytest.mark.parametrize(
    "assignment",
    [
        replace(ASSIGNMENT, protection_id="../../etc"),
        replace(ASSIGNMENT, generation="1"),
        replace(ASSIGNMENT, epoch=-1),
        replace(ASSIGNMENT, machine_id=""),
        replace(ASSIGNMENT, copy_frequency=timedelta(0)),
    ],
)
def test_an_order_that_no_vault_gives_is_refused(assignment: Assignment) -> None:
    with pytest.raises(AssignmentError):
        check_assignment(assignment)


def test_an_ordinary_order_is_taken() -> None:
    check_assignment(ASSIGNMENT)
