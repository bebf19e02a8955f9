import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from agent.source.assignment import Compression, ThrottleWindow
from agent.source.coverage import MAX_RANGES, Coverage
from agent.source.errors import StateFileError
from agent.source.passes import Leg, ResyncPass, new_initial_pass
from agent.source.state import OpenAttempt, SourceState
from agent.source.state_folder import MAX_STATE_BYTES, StateFolder
from agent.source.status import Failure
from agent.source.verification import Verification
from replikera.blocks.extents import Extents
from replikera.blocks.segment import MAX_DISKS, DiskGeometry
from replikera.system.files import SystemFiles
from tests.support.source_rig import ASSIGNMENT, GENERATION, PROTECTION

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
DISKS = (DiskGeometry("disk-a", "a.vhdx", 1 << 20, 512),)
FRESH = SourceState(ASSIGNMENT)
FILLING = FRESH.with_initial(new_initial_pass(1, DISKS, Leg("view-1", NOW)))
ENDING = FILLING.pass_ending(OpenAttempt(1, 1, "view-1", NOW, b"m" * 32, DISKS, b"d" * 32))
FIRST = ENDING.acknowledged()
ISSUED = FIRST.issued(OpenAttempt(2, 2, "view-2", NOW, b"m" * 32, DISKS))
RICH = replace(
    ASSIGNMENT,
    compression=Compression.ADAPTIVE,
    throttle=(ThrottleWindow(31, 480, 1080, 1 << 20),),
    application_consistent_interval=timedelta(hours=4),
    excluded_disk_ids=("disk-b",),
    is_paused=True,
)


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    folder = StateFolder(SystemFiles(), tmp_path / "protections")
    folder.prepare()
    return folder


@pytest.mark.parametrize(
    "state",
    [
        FRESH,
        FRESH.ordered(RICH),
        FRESH.stopping(),
        FILLING,
        ENDING,
        FIRST,
        FIRST.settled("mark-1"),
        ISSUED,
        ISSUED.with_digest(b"e" * 32),
        FIRST.resync_required(Failure("diverged", "Because.", "Do.")),
        FIRST.resynchronizing().with_resync(
            ResyncPass(1, b"d" * 32).on_view(Leg("view-3", NOW), DISKS, None)
        ),
        FIRST.verifying(GENERATION).checked(Verification(GENERATION, 512, 1024, 512, NOW), NOW),
    ],
)
def test_a_state_is_read_back_as_it_was_saved(folder: StateFolder, state: SourceState) -> None:
    folder.save(state)
    assert folder.load(PROTECTION) == state


def test_a_state_of_the_largest_machine_fits(folder: StateFolder) -> None:
    disks = tuple(
        DiskGeometry(f"{n}".rjust(255, "d"), f"{n}".rjust(255, "n"), 1 << 40, 512)
        for n in range(MAX_DISKS)
    )
    count = MAX_RANGES // MAX_DISKS
    scattered = Extents.of(((at + 1) * (1 << 32) - 65536, 65536) for at in range(count))
    scattered = scattered.clip(1 << 40)
    worst = Coverage((scattered,) * MAX_DISKS, (Extents.whole(1 << 40).subtract(scattered),) * 64)
    leg = Leg("v" * 1024, NOW)
    state = FRESH.with_initial(new_initial_pass(1, disks, leg).covering(worst))
    ending = OpenAttempt(1, 1, "v" * 1024, NOW, b"m" * 32, disks, b"d" * 32)
    folder.save(state.pass_ending(ending))
    size = (folder._folder / f"{PROTECTION}.json").stat().st_size
    assert 512 * 1024 < size <= MAX_STATE_BYTES
    assert folder.load(PROTECTION) is not None


def test_unknown_protections_have_no_state(folder: StateFolder) -> None:
    assert folder.load(GENERATION) is None


def test_only_state_files_are_protections(folder: StateFolder) -> None:
    folder.save(FRESH)
    (folder._folder / f"{GENERATION}.json.new").write_bytes(b"half")
    assert folder.protection_ids() == [PROTECTION]


def test_what_is_removed_is_gone_and_may_be_removed_again(folder: StateFolder) -> None:
    folder.save(FRESH)
    folder.remove(PROTECTION)
    folder.remove(PROTECTION)
    assert folder.protection_ids() == []
    assert folder.load(PROTECTION) is None


def test_a_file_of_the_version_before_is_refused_by_its_number(folder: StateFolder) -> None:
    (folder._folder / f"{PROTECTION}.json").write_text('{"version": 1, "open": {"old": true}}')
    with pytest.raises(StateFileError, match="version 1, this agent knows 2") as raised:
        folder.load(PROTECTION)
    assert "disable and enable" in raised.value.failure.remedy


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
        (_change("version", 3), "version 3"),
        (_change("surprise", 1), "surprise"),
        (_change("attempt", "1"), "attempt"),
        (_change("attempt", -1), "attempt"),
        (_change("head.digest", "00"), "head.digest"),
        (_change("head.digest", "00" * 32), "digest"),
        (_change("open.sequence", 5), "open attempt"),
        (_change("open.attempt", 9), "open attempt"),
        (_change("assignment.protection_id", GENERATION), "about protection"),
        (_change("assignment.copy_frequency", "PT0S"), "copy_frequency"),
        (_change("assignment.throttle", [{}]), "throttle"),
        (_change("verification", {"verification_id": "x"}), "verification"),
        (_change("resyncing", {"pending": [[[0, 512]]]}), "a pass has"),
    ],
)
def test_a_state_file_that_was_not_written_here_is_refused_by_name(
    folder: StateFolder, change: Any, problem: str
) -> None:
    folder.save(ISSUED)
    path = folder._folder / f"{PROTECTION}.json"
    fields = json.loads(path.read_bytes())
    change(fields)
    path.write_text(json.dumps(fields))

    with pytest.raises(StateFileError, match=problem) as raised:
        folder.load(PROTECTION)
    assert str(path) in raised.value.failure.cause


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"[" * 100_000, b"\xff", b"x" * (MAX_STATE_BYTES + 1)]
)
def test_a_state_file_that_is_none_is_refused(folder: StateFolder, data: bytes) -> None:
    (folder._folder / f"{PROTECTION}.json").write_bytes(data)
    with pytest.raises(StateFileError):
        folder.load(PROTECTION)
