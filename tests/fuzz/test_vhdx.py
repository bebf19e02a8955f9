"""A short run of the fuzzer, the same every time, in a process of its own with its own limits."""

import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from tests.fuzz.vhdx import corpus, inputs, run
from tests.fuzz.vhdx_files import build_case, worlds

ROOT = Path(__file__).resolve().parents[2]


def fuzz(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.vhdx", "--engine", "plain", *arguments],
        capture_output=True,
        check=False,
        cwd=ROOT,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_hostile_files_are_refused_or_read_right() -> None:
    told = fuzz("--runs", "200", "--seed", "4")
    assert "200 runs, seed 4" in told
    assert "refused" in told


@pytest.mark.parametrize("number", range(len(worlds())))
def test_the_files_that_the_fuzzer_begins_with_are_sound(number: int) -> None:
    """Otherwise the fuzzer would only look at refusals."""
    assert run(bytes([number, 2])) == "read by both, written"


def test_an_input_means_the_same_every_time() -> None:
    data = corpus()[-1]
    assert build_case(data) == build_case(data)
    count = len(corpus()) + 20
    assert [*islice(inputs(3), count)] == [*islice(inputs(3), count)]
