"""One operator at a terminal, before two sites that are joined and mapped."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from replikera.lab.digesting import Digesting
from replikera.lab.line import MACHINE_NAME, Line
from replikera.lab.machine import Machine, system_machine
from replikera.lab.narrator import Narrator
from replikera.lab.run import prepare
from replikera.lab.sample_disk import make_sample_disk
from replikera.lab.settings_files import host_name
from replikera.lab.source_views import SourceViews
from replikera.lab.waiting import wait_for

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


@asynccontextmanager
async def walking(root: Path) -> AsyncIterator[Walk]:
    """Build the line in a folder, and end all of it."""
    with system_machine() as machine, (root / "narration.txt").open("w") as text:
        narrator = Narrator(Console(file=text, width=200), machine.clock)
        line = await prepare(machine, narrator, root / "lab")
        disk = root / "sample.vhdx"
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
