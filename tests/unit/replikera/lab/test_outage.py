"""An outage is what the target's points of that time make of it."""

from pathlib import Path

import pytest

from replikera.lab.errors import LabError
from replikera.lab.folder import claim_folder
from replikera.lab.line import Line
from replikera.lab.outage import OUTAGE_S, Outages
from tests.support.lab import LabBench, make_bench
from tests.support.scripted_vault import ScriptedVault


async def set_up(tmp_path: Path) -> tuple[LabBench, ScriptedVault, Outages]:
    bench = make_bench()
    line = Line(bench.machine, claim_folder(bench.machine.files, tmp_path), bench.narrator)
    vault = ScriptedVault(tmp_path, bench.programs, bench.clock)
    vault.install()
    bench.programs.respond(("replikera-agent", "simulate", "create-machine"))
    await line.make_vault()
    return bench, vault, Outages(bench.machine, line, bench.narrator)


async def test_points_of_the_outage_are_told_apart_from_the_others(tmp_path: Path) -> None:
    bench, _, outages = await set_up(tmp_path)
    outage, points = await outages.endure()
    assert outage.is_unnoticed
    assert outage.points == (9, 8, 7, 6)
    assert [point["sequence"] for point in points] == [9, 8, 7, 6]
    assert (outage.restarted_at - outage.killed_at).total_seconds() == OUTAGE_S
    assert len(bench.programs.killed) == 1
    text = bench.text.getvalue()
    assert f"$ kill -KILL {bench.programs.killed[0]}" in text
    assert text.count("$ replikera-coordinator run --settings") == 2


async def test_what_the_vault_cannot_observe_yet_is_waited_for(tmp_path: Path) -> None:
    _, vault, outages = await set_up(tmp_path)
    vault.unobserved, vault.uncompared = 2, 4
    await outages.endure()
    assert vault.asked == 5


async def test_protection_that_nobody_observes_again_is_not_waited_for_forever(
    tmp_path: Path,
) -> None:
    _, vault, outages = await set_up(tmp_path)
    vault.unobserved = 10_000
    with pytest.raises(LabError, match="a healthy protection did not come"):
        await outages.endure()


async def test_target_that_tells_of_no_new_point_is_not_waited_for_forever(
    tmp_path: Path,
) -> None:
    _, vault, outages = await set_up(tmp_path)
    vault.starts = 7
    with pytest.raises(LabError, match="a point after the outage did not come"):
        await outages.endure()
