"""Two short rounds of kills; the long run is `python -m tests.e2e.kill_rounds`."""

from pathlib import Path

import pytest

from tests.e2e.kill_rounds import play_all

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


async def test_every_point_survives_kills_of_its_daemons(tmp_path: Path) -> None:
    outcomes = await play_all(rounds=2, seed=7, root=tmp_path)
    problems = [problem for outcome in outcomes for problem in outcome.verification.problems]
    assert problems == []
    assert all(outcome.kills for outcome in outcomes)
    assert all(outcome.verification.compared >= 3 for outcome in outcomes)
