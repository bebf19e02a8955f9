"""The terms a replica is kept under."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agent.replica.accepted import AcceptedReplica, Seed, read_accepted, write_accepted
from agent.replica.layout import Layout
from replikera.blocks.segment import SegmentFormatError
from tests.support.crash_files import CrashFiles
from tests.support.segments import ACCEPTED, GENERATION, PROTECTION

LAYOUT = Layout(Path("/") / PROTECTION)


@pytest.fixture
def files() -> CrashFiles:
    files = CrashFiles()
    files.make_directory(LAYOUT.folder)
    return files


def test_terms_come_back(files: CrashFiles) -> None:
    write_accepted(files, LAYOUT, ACCEPTED)
    assert read_accepted(files, LAYOUT) == ACCEPTED


def test_seeds_come_back(files: CrashFiles) -> None:
    accepted = replace(ACCEPTED, seeds=(Seed("a.vhdx", "one"), Seed("b.vhdx", "one")))
    write_accepted(files, LAYOUT, accepted)
    assert read_accepted(files, LAYOUT) == accepted


def test_terms_of_another_protection_are_refused(files: CrashFiles) -> None:
    write_accepted(files, LAYOUT, replace(ACCEPTED, protection_id=GENERATION))
    with pytest.raises(SegmentFormatError, match="another protection"):
        read_accepted(files, LAYOUT)


@pytest.mark.parametrize(
    ("accepted", "problem"),
    [
        (replace(ACCEPTED, protection_id="../../etc"), "protection '../../etc'"),
        (replace(ACCEPTED, protection_id=PROTECTION.upper()), "lower-case"),
        (replace(ACCEPTED, generation=""), "generation ''"),
        (replace(ACCEPTED, epoch=0), "epoch 0"),
        (replace(ACCEPTED, epoch=1 << 63), "epoch"),
        (replace(ACCEPTED, retention=timedelta(seconds=-1)), "retention"),
        (replace(ACCEPTED, retention=timedelta(days=400)), "retention"),
        (replace(ACCEPTED, seeds=(Seed("d", "../f"),)), "seed '../f' is not inside"),
        (replace(ACCEPTED, seeds=(Seed("d", ""),)), "of a seed is not a name"),
        (replace(ACCEPTED, seeds=(Seed("d", "f"), Seed("d", "g"))), "two seeds"),
    ],
)
def test_impossible_terms_are_named(accepted: AcceptedReplica, problem: str) -> None:
    assert problem in (accepted.problem() or "")


def test_possible_terms_have_no_problem() -> None:
    assert ACCEPTED.problem() is None
    assert replace(ACCEPTED, retention=timedelta(0)).problem() is None


@pytest.mark.parametrize("field", ["generation", "source_host_id", "machine_id"])
def test_another_source_or_generation_is_another_lineage(field: str) -> None:
    changes = {field: "other"}
    other = replace(ACCEPTED, **changes)  # type: ignore[arg-type]  # all three are texts
    assert not ACCEPTED.is_same_lineage(other)
    assert not ACCEPTED.is_same_lineage(replace(ACCEPTED, epoch=2))
    assert ACCEPTED.is_same_lineage(replace(ACCEPTED, machine_name="post"))
    assert ACCEPTED.is_same_lineage(replace(ACCEPTED, retention=timedelta(hours=1)))
