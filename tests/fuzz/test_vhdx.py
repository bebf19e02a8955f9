"""A short run of the fuzzer, the same every time, in a process of its own with its own limits."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from replikera.vhdx.block_map import BlockMap
from replikera.vhdx.replayed_file import ReplayedFile
from tests.fuzz.vhdx import corpus, inputs, run
from tests.fuzz.vhdx_files import build_case, worlds
from tests.fuzz.vhdx_judge import FindingError
from tests.support import oracles

ROOT = Path(__file__).resolve().parents[2]


def fuzz(engine: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.vhdx", "--engine", engine, *arguments],
        capture_output=True,
        check=False,
        cwd=ROOT,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_hostile_files_are_refused_or_read_right() -> None:
    told = fuzz("plain", "--runs", "200", "--seed", "4").stdout
    assert "200 runs, seed 4" in told
    assert "refused" in told


def test_files_that_follow_the_coverage_are_refused_or_read_right() -> None:
    if importlib.util.find_spec("atheris") is None:
        oracles.missing("atheris", "atheris (of the lock file, where it exists)")
    told = fuzz("atheris", "--runs", "500", "--seed", "4").stderr
    assert "Done 500 runs" in told


def _one_sector_on(self: BlockMap, offset: int, length: int) -> Iterator[tuple[int, int]]:
    for source, step in _RUNS(self, offset, length):
        yield (source if source < 0 else source + 512), step


_RUNS = BlockMap.runs


def test_a_reader_that_reads_one_sector_too_far_is_a_finding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(BlockMap, "runs", _one_sector_on)
    with pytest.raises(FindingError):
        run(bytes([0, 2]))


def test_a_reader_that_passes_over_the_log_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReplayedFile, "read_into", _unreplayed)
    with pytest.raises(FindingError):
        for number in range(len(worlds())):
            run(bytes([number, 0]))


def _unreplayed(self: ReplayedFile, buffer: memoryview, offset: int) -> int:
    return self._file.read_into(buffer, offset)


@pytest.mark.parametrize("number", range(len(worlds())))
def test_the_files_that_the_fuzzer_begins_with_are_sound(number: int) -> None:
    """Otherwise the fuzzer would only look at refusals."""
    assert run(bytes([number, 2])) == "read by both, written"


def test_an_input_means_the_same_every_time() -> None:
    data = corpus()[-1]
    assert build_case(data) == build_case(data)
    count = len(corpus()) + 20
    assert [*islice(inputs(3), count)] == [*islice(inputs(3), count)]
