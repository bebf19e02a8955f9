"""Everything about replication that an operator does, by commands alone, on two sites of one machine."""

import pytest
from typer.main import get_group

from replikera.cli.nouns import protection
from replikera.lab.errors import LabError
from replikera.lab.line import MACHINE_NAME
from replikera.lab.settings_files import host_name
from replikera.lab.waiting import wait_for
from tests.e2e.online import check_kept_disks
from tests.e2e.tracking_loss import lose_tracking
from tests.e2e.walk import PATIENCE_S, POLICY, Walk

ORDERS = ("pause", "resume", "verify", "resync", "disable")
MISSING = [verb for verb in ORDERS if verb not in get_group(protection.app).commands]

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(MISSING), reason=f"`replikera protection` has no {MISSING}"),
]


async def test_a_machine_is_replicated_as_its_operator_wants(walk: Walk) -> None:
    target = host_name(walk.line.folder.secondary)
    options = ("--target-host", target, "--policy", POLICY)
    await walk.run("protection", "enable", MACHINE_NAME, *options, "--wait")
    await walk.until_newer(1)
    await walk.compare_newest()

    await walk.run("point", "create", MACHINE_NAME, "before patch day", "--wait")
    named = await walk.ask("point", "show", MACHINE_NAME, "name:before patch day")
    assert (named["kind"], named["name"]) == ("named", "before patch day")
    await walk.until_newer(named["sequence"])

    await walk.run("protection", "pause", MACHINE_NAME)
    await walk.until_state("paused")
    paused_at = max(await walk.sequences())
    await walk.until_processed(lambda sequence: sequence == paused_at)
    # The test keeps the base as it is; points go on above it.
    await walk.run("test-failover", "start", MACHINE_NAME, "--point", "latest-processed", "--wait")
    await walk.run("protection", "resume", MACHINE_NAME)
    await walk.until_state("protected")
    await walk.until_newer(paused_at)
    tested = await walk.ask("test-failover", "show", MACHINE_NAME)
    assert (tested["point"]["sequence"], await walk.processed()) == (paused_at, paused_at)
    await walk.run("test-failover", "cleanup", MACHINE_NAME, "--notes", "walk", "--wait")
    await walk.until_processed(lambda sequence: sequence > paused_at)

    await walk.run("protection", "verify", MACHINE_NAME, "--wait")
    verification = (await walk.protection())["verification"]
    assert verification["is_finished"]
    assert verification["differing_bytes"] == 0
    assert verification["checked_bytes"] == verification["total_bytes"] > 0

    await _resynchronise(walk)
    await _disable(walk)


async def _resynchronise(walk: Walk) -> None:
    hypervisor = walk.line.folder.primary.hypervisor
    before = await walk.sequences()

    async def look() -> bool | None:
        await walk.machine.worker.run(lose_tracking, walk.machine, hypervisor)
        return True if (await walk.protection())["state"] == "resync-required" else None

    await wait_for(walk.machine.clock, look, what="resync-required", timeout=PATIENCE_S)
    shown = await walk.protection()
    assert shown["health"] == "critical"
    assert "replikera protection resync" in shown["remedy"]
    await walk.run("protection", "resync", MACHINE_NAME, "--wait")
    await walk.until_newer(max(before))
    assert set(before) <= set(await walk.sequences())
    await walk.compare_newest()


async def _disable(walk: Walk) -> None:
    protection_id = (await walk.protection())["id"]
    keep = ("--keep-disks", "--confirm", MACHINE_NAME, "--wait")
    await walk.run("protection", "disable", MACHINE_NAME, *keep)
    secondary, primary = walk.line.folder.secondary, walk.line.folder.primary
    exports = secondary.state / "exports" / protection_id
    assert check_kept_disks(walk.machine, exports, primary.hypervisor) == []
    assert not (secondary.state / "replicas" / protection_id).exists()
    assert list(primary.hypervisor.glob("machines/*/marks/*")) == []
    assert list(primary.hypervisor.glob("machines/*/views/*")) == []
    with pytest.raises(LabError, match="exit code 6"):
        await walk.protection()
