"""A few orders under kills; the long run is `python -m tests.e2e.order_rounds`."""

from pathlib import Path

import pytest

from replikera.lab.machine import system_machine
from tests.e2e.effects import LIFE, Effect, judge
from tests.e2e.order_rounds import Plan, play

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

ONCE = [Effect(name, "machine", "rehearsal") for name in LIFE]


async def test_every_order_is_acted_on_once_although_daemons_are_killed(tmp_path: Path) -> None:
    with system_machine() as machine:
        outcome = await play(machine, Plan(orders=20, seed=3, machines=3), tmp_path / "round")
    assert outcome.all_problems == []
    assert outcome.orders >= 20
    assert outcome.kills


@pytest.mark.parametrize(
    "wrong",
    [
        [*ONCE[:2], ONCE[1], *ONCE[2:]],
        ONCE[:3],
        [ONCE[0], ONCE[2], ONCE[1], ONCE[3]],
        [Effect(LIFE[0], "another", "rehearsal"), *ONCE],
        [*ONCE, Effect(LIFE[0], "machine", "stranger")],
    ],
    ids=["twice", "missing", "out of order", "begun again", "unknown"],
)
def test_what_was_not_done_exactly_once_is_found(wrong: list[Effect]) -> None:
    rehearsals = [{"id": "rehearsal", "machine_id": "machine"}]
    assert judge(ONCE, rehearsals).problems == []
    assert len(judge(wrong, rehearsals).problems) == 1
