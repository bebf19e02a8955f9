"""A test failover of a random point on random networks, struck while it starts, stands and is cleaned up."""

from collections.abc import Mapping
from typing import Any

from replikera.lab.evidence import DiskPair, compare
from replikera.lab.line import MACHINE_NAME
from replikera.lab.rehearsing import point_of, recovered_disks
from replikera.lab.source_views import SourceViews, capture_of
from replikera.lab.target_inventory import differences, target_inventory
from replikera.lab.waiting import wait_for
from tests.e2e.stage import Stage

_NETWORKS = ("mapped", "none", "create", "test")
_WORDS = ("latest", "latest-processed")
_INVENTORY_S = 60.0
"""An inventory is told every few seconds, and again after its host was away."""


async def rehearse(stage: Stage) -> None:
    """Start, compare every disk with the source, clean up; nothing is left and nothing else is gone."""
    before = await target_inventory(stage.machine, stage.line)
    listed = {str(point["sequence"]): point for point in await stage.operator.points()}
    chance = stage.chance
    wish = {
        "point": chance.choice((*_WORDS, chance.choice(sorted(listed)))),
        "network": chance.choice(_NETWORKS),
    }
    job_id = await stage.operator.order("test-failovers", wish)
    await stage.misfortunes.strike("test failover", within=1.5)
    await stage.operator.end_of(job_id)
    test = (await stage.rest.everything("/test-failovers"))[0]
    await stage.misfortunes.strike("standing test failover", within=0.5)
    stage.problems += [f"{wish}: {problem}" for problem in await _judge(stage, test)]
    job_id = await stage.operator.order("test-failovers/clean-up", {"notes": "struck"})
    await stage.misfortunes.strike("clean-up", within=0.5)
    await stage.operator.end_of(job_id)
    ended = await stage.rest.get(f"/test-failovers/{test['id']}")
    if not ended["is_successful"]:
        stage.problems.append(f"{wish}: the test failover ended as {ended}")
    await _until_inventory(stage, before)
    await stage.goes_on()


async def _judge(stage: Stage, test: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with a test failover that stands."""
    guest = test["guest"]
    problems = []
    if guest is None or not guest["is_healthy"] or not guest["records"]:
        problems.append(f"the guest says {guest}")
    point = point_of(test)
    (listed,) = [
        item
        for item in await stage.operator.points()
        if (item["generation"], item["sequence"]) == (point.generation, point.sequence)
    ]
    view = await SourceViews(stage.machine, stage.line).of(capture_of(listed))
    for disk_id, path in recovered_disks(test):
        pair = DiskPair(MACHINE_NAME, disk_id, view.disk(disk_id), path)
        evidence = await compare(stage.machine, pair, point)
        stage.comparison.compared += 1
        if not evidence.is_equal:
            problems.append(
                f"point {point.sequence}, disk {disk_id}: {path} differs from its source"
            )
    return problems


async def _until_inventory(stage: Stage, before: frozenset[str]) -> None:
    async def look() -> bool | None:
        after = await target_inventory(stage.machine, stage.line)
        return None if differences(before, after) else True

    await wait_for(stage.machine.clock, look, what="the inventory of before", timeout=_INVENTORY_S)
