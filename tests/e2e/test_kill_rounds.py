"""A short round of misfortunes; the long run is `python -m tests.e2e.kill_rounds`."""

from pathlib import Path

import pytest

from tests.e2e.acts import enable_anew, resync, settings
from tests.e2e.kill_rounds import Plan, play_all

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SHORT = Plan(seed=7, acts=(enable_anew, settings, resync))


async def test_every_point_survives_what_befalls_daemons_and_link(tmp_path: Path) -> None:
    (outcome,) = await play_all(rounds=1, plan=SHORT, root=tmp_path)
    assert outcome.all_problems == []
    assert outcome.misfortunes
    assert outcome.verification.compared >= 3
    assert outcome.digested >= 3
