"""`replikera lab run`: the whole line, its proof, and an end that leaves no process behind."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from replikera.lab.daemons import Daemons
from replikera.lab.digesting import Digesting
from replikera.lab.errors import LabError
from replikera.lab.folder import LabFolder, claim_folder, find_folder
from replikera.lab.kept_views import views_folder
from replikera.lab.line import MACHINE_NAME, Line, items, machine_names
from replikera.lab.machine import Machine
from replikera.lab.narrator import Narrator
from replikera.lab.outage import Outages
from replikera.lab.rehearsing import Rehearsing
from replikera.lab.report import Findings, document, write_report
from replikera.lab.sample_disk import make_sample_disk
from replikera.lab.settings_files import KEPT_VIEWS, PORTS_NEEDED, LoopbackPorts, write_settings
from replikera.lab.source_views import SourceViews
from replikera.lab.witness import WitnessError

_WORKLOAD_POINTS = 5
"""Enough for one that is neither the newest nor the first."""

_ARCHITECTURE = """\
A coordinator is the vault: it decides, and keeps what was decided. An agent on every host carries it out. The source's
agent streams what its machines change to the target's agent, which keeps recovery points. All of it is mutual TLS."""

_NETWORKING = """\
Agents dial the vault (enrolment once, then a session), sources dial targets; nobody dials a source. Here all of it
is on loopback. The machines are on network production at both sites; tests are on network test, which leads nowhere."""


@dataclass(frozen=True, slots=True)
class Options:
    """What a run was asked for."""

    folder: Path
    disks: tuple[Path, ...] = ()
    has_workload: bool = True
    stays: bool = False
    machines: int = 1


async def prepare(
    machine: Machine,
    narrator: Narrator,
    root: Path,
    *,
    kept_views: int = KEPT_VIEWS,
    ports: LoopbackPorts | None = None,
) -> Line:
    """Return the line of a new lab in `root`, its settings written; free ports unless given. Raises `LabError`."""
    await machine.worker.run(_refuse_running, machine, root)
    with narrator.work(f"preparing {root}"):
        folder = await machine.worker.run(claim_folder, machine.files, root)
    if ports is None:
        ports = LoopbackPorts(*machine.free_ports(PORTS_NEEDED, machine.randomness))
    await machine.worker.run(write_settings, machine.files, folder, ports, kept_views=kept_views)
    return Line(machine, folder, narrator)


async def build(
    machine: Machine,
    narrator: Narrator,
    line: Line,
    disks: Sequence[Path],
    *,
    has_workload: bool,
    machines: int = 1,
) -> None:
    """Walk from nothing to two joined sites, machines, and a policy: the first eight steps. Raises `LabError`."""
    primary, secondary = line.folder.primary, line.folder.secondary
    narrator.heading("Understand the architecture")
    narrator.note(_ARCHITECTURE)
    narrator.heading("Check prerequisites")
    await line.commands.run("replikera", "--version")
    narrator.heading("Plan networking")
    narrator.note(_NETWORKING)
    narrator.heading("Prepare the hosts")
    await line.make_host(primary, ("production",))
    await line.make_host(secondary, ("production", "test:isolated"))
    disks = disks or await _sample(machine, narrator, line.folder)
    for name in machine_names(machines):
        await line.make_machine(disks, has_workload=has_workload, name=name)
    narrator.heading("Create a vault")
    await line.make_vault()
    narrator.heading("Set up source and target")
    await line.join(primary)
    await line.join(secondary)
    await line.commands.run("replikera", "vm", "list")
    narrator.heading("Map networks")
    await line.map_networks()
    await line.show_placement()
    narrator.heading("Set a replication policy")
    await line.make_policy()


async def run_lab(machine: Machine, narrator: Narrator, options: Options) -> dict[str, object]:
    """Run a lab and return its report, which is also in the lab's folder. Raises `LabError`."""
    await machine.worker.run(_check_disks, machine, options.disks)
    line = await prepare(machine, narrator, options.folder)
    findings = Findings(machine.clock.now())
    try:
        await _walk(machine, narrator, line, findings, options)
        findings.is_complete = True
    except (LabError, WitnessError, OSError) as error:
        findings.problem = str(error)
        narrator.verdict(str(error), is_good=False)
    except asyncio.CancelledError:
        findings.problem = "interrupted"
        raise
    finally:
        if not options.stays:
            await _end(narrator, line, findings)
        report = document(findings, narrator.steps, has_workload=options.has_workload)
        if report["succeeded"] is True and not options.stays:
            await machine.worker.run(_remove_views, machine, line.folder)
        await machine.worker.run(write_report, machine.files, line.folder, report)
    return report


async def end_lab(machine: Machine, narrator: Narrator, root: Path) -> None:
    """End every process of the lab in `root`. Raises `LabError`."""
    folder = await machine.worker.run(find_folder, machine.files, root)
    await Line(machine, folder, narrator).end()


async def _walk(
    machine: Machine, narrator: Narrator, line: Line, findings: Findings, options: Options
) -> None:
    has_workload, names = options.has_workload, machine_names(options.machines)
    await build(
        machine,
        narrator,
        line,
        options.disks,
        has_workload=has_workload,
        machines=options.machines,
    )
    narrator.heading("Enable replication")
    for name in names:
        await line.protect(name=name)
    views = SourceViews(machine, line)
    rehearsing = Rehearsing(machine, line, views, narrator)
    older = None
    if has_workload:
        points = await line.wait_for_points(_WORKLOAD_POINTS)
        older = points[len(points) // 2]
        await views.hold(older)
    await line.commands.run("replikera", "point", "list", MACHINE_NAME)
    if has_workload:
        await _endure(machine, narrator, line, views, findings)
    findings.protections += items(await line.commands.ask("replikera", "protection", "list"))
    narrator.heading("Run a test failover and clean it up")
    for name in names:
        narrator.part(f"The latest point of {name}")
        await rehearsing.rehearse("latest", findings, name)
    if older is not None:
        narrator.part(f"An older point of {MACHINE_NAME}")
        await rehearsing.rehearse(str(older["sequence"]), findings)
    narrator.part("How the vault sees it")
    await line.commands.run("replikera", "status")


async def _endure(
    machine: Machine, narrator: Narrator, line: Line, views: SourceViews, findings: Findings
) -> None:
    narrator.part("The coordinator is killed; replication goes on without it")
    outage, points = await Outages(machine, line, narrator).endure()
    findings.outages.append(outage)
    await line.commands.run("replikera", "protection", "show", MACHINE_NAME)
    if not points:
        raise LabError(
            "no recovery point was captured while there was no coordinator",
            "Look into the logs of both agents",
        )
    narrator.part("A point of that time, digested at the target, beside the source's view of it")
    point = points[len(points) // 2]
    await views.hold(point)
    findings.digests += await Digesting(machine, line, views, narrator).compare(point)


async def _end(narrator: Narrator, line: Line, findings: Findings) -> None:
    narrator.part("The end of every daemon and guest")
    try:
        await line.end()
    except (LabError, OSError) as error:
        findings.problem = findings.problem or str(error)
        narrator.verdict(str(error), is_good=False)


async def _sample(machine: Machine, narrator: Narrator, folder: LabFolder) -> tuple[Path, ...]:
    path = folder.disks / "sample.vhdx"
    with narrator.work("making a disk of 256 MiB with 64 MiB of data"):
        await machine.worker.run(make_sample_disk, machine.files, path, machine.randomness)
    return (path,)


def _remove_views(machine: Machine, folder: LabFolder) -> None:
    # Gigabytes under a workload, and of no more use once every comparison was well.
    machine.files.remove_tree(views_folder(folder.primary.hypervisor))
    machine.files.remove_tree(folder.held_views)


def _check_disks(machine: Machine, disks: Sequence[Path]) -> None:
    for disk in disks:
        if machine.files.status(disk) is None:
            raise LabError(f"there is no disk {disk}", "Name an existing VHDX file with --disk")
    if len({disk.name for disk in disks}) != len(disks):
        raise LabError("two of the disks have the same file name", "Rename one of them")


def _refuse_running(machine: Machine, root: Path) -> None:
    daemons = Daemons(machine.processes, machine.files, machine.clock, LabFolder(root))
    running = [name for name in daemons.names() if daemons.is_alive(name)]
    if running:
        raise LabError(
            f"a lab runs in {root}: {', '.join(running)}",
            f"End it with `replikera lab down --dir {root}`, or choose another folder with --dir",
        )
