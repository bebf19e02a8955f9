"""`replikera lab`: two sites on this machine, to try everything."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from replikera.cli.documents import dump
from replikera.cli.errors import CommandError, ExitCode
from replikera.cli.invocation import invocation_of
from replikera.cli.leaf import Leaf, noun
from replikera.cli.output import output_of
from replikera.lab.errors import LabError
from replikera.lab.folder import LabFolder
from replikera.lab.machine import Machine, system_machine
from replikera.lab.narrator import Narrator
from replikera.lab.run import Options, end_lab, run_lab
from replikera.lab.witness import WitnessError, digest
from replikera.stopping import stopping_on_signals

T = TypeVar("T")

app = noun("Two sites on this machine, to try everything.")

MAX_MACHINES = 20
"""Each has guests, views and a replica on this machine."""


class HypervisorKind(StrEnum):
    """What a lab's hosts may run."""

    SIMULATED = "simulated"


_DEFAULT_FOLDER = Path(".replikera-lab")
_FolderOption = Annotated[
    Path, typer.Option("--dir", metavar="DIR", help="The lab's folder; it may be deleted at will.")
]


@app.command("run", cls=Leaf)
def run(
    context: typer.Context,
    disk: Annotated[
        list[Path] | None,
        typer.Option(
            "--disk",
            metavar="FILE.vhdx",
            help="A disk of the machine; it is copied with its parents, and never written. None: the lab makes one.",
        ),
    ] = None,
    folder: _FolderOption = _DEFAULT_FOLDER,
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave everything running, to go on by hand.")
    ] = False,
    vms: Annotated[
        int, typer.Option("--vms", metavar="N", min=1, max=MAX_MACHINES, help="How many machines.")
    ] = 1,
    hypervisor: Annotated[
        HypervisorKind, typer.Option("--hypervisor", help="What the hosts run.")
    ] = HypervisorKind.SIMULATED,
    no_workload: Annotated[
        bool, typer.Option("--no-workload", help="Nothing writes to the machine's disks.")
    ] = False,
) -> None:
    """Replicate a machine between two sites on this machine, recover it, and compare every byte."""
    del hypervisor  # there is one kind by now; any other is refused by name
    disks = tuple(path.absolute() for path in disk or ())
    options = Options(
        folder.absolute(), disks, has_workload=not no_workload, stays=keep, machines=vms
    )
    report = _with_machine(context, lambda machine, narrator: run_lab(machine, narrator, options))
    output_format = invocation_of(context).output_format
    if output_format.is_for_programs:
        typer.echo(dump(report, output_format))
    _conclude(LabFolder(options.folder), report, stays=keep)
    if report["succeeded"] is not True:
        raise typer.Exit(ExitCode.FAILED)


@app.command("down", cls=Leaf)
def down(context: typer.Context, folder: _FolderOption = _DEFAULT_FOLDER) -> None:
    """End every process of a lab that was kept. Its folder stays, and may be deleted."""
    root = folder.absolute()
    _with_machine(context, lambda machine, narrator: end_lab(machine, narrator, root))


@app.command("digest", cls=Leaf)
def show_digest(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A fixed or dynamic VHDX file.")],
) -> None:
    """Print the SHA-256 of the whole disk as a guest sees it, read by the lab's own small reader."""
    with system_machine() as machine:
        try:
            value = digest(machine.files, file)
        except WitnessError as error:
            raise CommandError("disk-not-readable", error.cause, error.remedy) from error
        except OSError as error:
            raise CommandError(
                "disk-not-readable", f"{file}: {error.strerror}", "Name an existing VHDX file"
            ) from error
    output_of(context).line({"file": str(file), "sha256": value}, value)


def _with_machine(context: typer.Context, work: Callable[[Machine, Narrator], Awaitable[T]]) -> T:
    # What the lab says goes out of the way of a report for programs.
    is_for_programs = invocation_of(context).output_format.is_for_programs
    console = Console(stderr=is_for_programs, highlight=False)
    with system_machine() as machine:
        try:
            return asyncio.run(_stoppable(work, machine, Narrator(console, machine.clock)))
        except LabError as error:
            raise CommandError("lab-failed", error.cause, error.remedy) from error


async def _stoppable(
    work: Callable[[Machine, Narrator], Awaitable[T]], machine: Machine, narrator: Narrator
) -> T:
    """Return what `work` returns; SIGTERM and Ctrl-C cancel it, and what it started is ended first."""

    async def body() -> T | LabError:
        try:
            return await work(machine, narrator)
        except LabError as error:  # a task group would wrap it
            return error

    async def cancel_on_signal() -> None:
        await stopping.wait()
        working.cancel()

    with stopping_on_signals() as stopping:
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(body())
            watching = tasks.create_task(cancel_on_signal())
            await asyncio.wait((working,))
            watching.cancel()
    if working.cancelled():
        raise KeyboardInterrupt
    result = working.result()
    if isinstance(result, LabError):
        raise result
    return result


def _conclude(folder: LabFolder, report: dict[str, object], *, stays: bool) -> None:
    outcome = "succeeded" if report["succeeded"] is True else "FAILED"
    typer.echo(f"\nlab {outcome}; report {folder.report}", err=True)
    if stays:
        typer.echo(f"next: export REPLIKERA_PROFILE={folder.profile}; replikera status", err=True)
        typer.echo(f"next: replikera lab down --dir {folder.root}", err=True)
