"""Everything about replication that an operator does, by commands alone, on two sites of one machine."""

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.main import get_group

from replikera.cli.nouns import protection
from replikera.lab.digesting import Digesting
from replikera.lab.errors import LabError
from replikera.lab.line import MACHINE_NAME, Line
from replikera.lab.machine import Machine, system_machine
from replikera.lab.narrator import Narrator
from replikera.lab.run import prepare
from replikera.lab.sample_disk import make_sample_disk
from replikera.lab.settings_files import host_name
from replikera.lab.source_views import SourceViews
from replikera.lab.waiting import wait_for
from tests.e2e.online import check_kept_disks
from tests.e2e.tracking_loss import lose_tracking

ORDERS = ("pause", "resume", "verify", "resync", "disable")
MISSING = [verb for verb in ORDERS if verb not in get_group(protection.app).commands]

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(MISSING), reason=f"`replikera protection` has no {MISSING}"),
]

POLICY = "throttled"
PATIENCE_S = 60.0


class Walk:
    """One operator at a terminal."""

    def __init__(self, machine: Machine, line: Line, narrator: Narrator) -> None:
        self.machine = machine
        self.line = line
        self.narrator = narrator
        self.views = SourceViews(machine, line)

    async def run(self, *arguments: str) -> None:
        await self.line.commands.run("replikera", *arguments)

    async def ask(self, *arguments: str) -> Mapping[str, Any]:
        return await self.line.commands.ask("replikera", *arguments)

    async def protection(self) -> Mapping[str, Any]:
        return await self.ask("protection", "show", MACHINE_NAME)

    async def sequences(self) -> list[int]:
        return [int(str(point["sequence"])) for point in await self.line.points()]

    async def until_state(self, state: str) -> Mapping[str, Any]:
        async def look() -> Mapping[str, Any] | None:
            shown = await self.protection()
            return shown if shown["state"] == state else None

        return await wait_for(self.machine.clock, look, what=state, timeout=PATIENCE_S)

    async def until_newer(self, than: int) -> None:
        async def look() -> bool | None:
            return True if max(await self.sequences()) > than else None

        await wait_for(self.machine.clock, look, what=f"a point after {than}", timeout=PATIENCE_S)

    async def processed(self) -> int:
        shown = await self.ask("point", "show", MACHINE_NAME, "latest-processed")
        return int(str(shown["sequence"]))

    async def until_processed(self, is_far_enough: Callable[[int], bool]) -> None:
        async def look() -> bool | None:
            return True if is_far_enough(await self.processed()) else None

        await wait_for(self.machine.clock, look, what="an applied point", timeout=PATIENCE_S)

    async def compare_newest(self) -> None:
        """Hold the newest point's view, and have the target digest the point."""
        point = (await self.line.points())[0]
        await self.views.hold(point)
        digesting = Digesting(self.machine, self.line, self.views, self.narrator)
        assert [disk.is_equal for disk in await digesting.compare(point)] == [True]


@pytest.fixture
async def walk(tmp_path: Path) -> AsyncIterator[Walk]:
    with system_machine() as machine, (tmp_path / "narration.txt").open("w") as text:
        narrator = Narrator(Console(file=text, width=200), machine.clock)
        line = await prepare(machine, narrator, tmp_path / "lab")
        disk = tmp_path / "sample.vhdx"
        make_sample_disk(machine.files, disk, machine.randomness, size=64 << 20, data_size=16 << 20)
        try:
            await _build(line, disk)
            yield Walk(machine, line, narrator)
        finally:
            await line.end()


async def _build(line: Line, disk: Path) -> None:
    """Invite, join, and say what stands for which network and folder."""
    await line.make_vault()
    primary, secondary = line.folder.primary, line.folder.secondary
    await line.make_host(primary, ("production",))
    await line.make_machine((disk,), has_workload=True)
    await line.join(primary)
    await line.make_host(secondary, ("production", "test:isolated"))
    await line.join(secondary)
    await line.commands.run(
        *("replikera", "policy", "create", POLICY, "--copy-frequency", "2s", "--retention", "24h"),
        *("--compression", "adaptive", "--throttle", "mon-sun 00:00-23:59 20MiB/s"),
    )
    mapping = ("replikera", "network-mapping", "create", "--test-network", "test")
    ends = (f"{host_name(site)}/production" for site in (primary, secondary))
    await line.commands.run(*mapping, "--primary", next(ends), "--secondary", next(ends))


async def test_a_machine_is_replicated_as_its_operator_wants(walk: Walk) -> None:
    target = host_name(walk.line.folder.secondary)
    options = ("--target-host", target, "--policy", POLICY)
    await walk.run("protection", "enable", MACHINE_NAME, *options, "--wait")
    await walk.until_newer(1)
    await walk.compare_newest()

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
