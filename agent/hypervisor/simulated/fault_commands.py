"""`replikera-agent simulate fault`: operations of a simulated host that fail, are slow, or hang, on request."""

from typing import Annotated

import typer

from agent.hypervisor.simulated.command_host import Root, host_at
from agent.hypervisor.simulated.faults import MAX_COUNT, MAX_SECONDS, Fault, FaultKind, Operation

app = typer.Typer(
    help="Let operations of the hypervisor fail, be slow, or hang.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_OPERATION_HELP = "What meets the fault: a call of the driver, or what a guest is asked for."
_Operation = Annotated[Operation, typer.Option("--operation", help=_OPERATION_HELP)]
_Times = Annotated[
    int, typer.Option("--times", min=1, max=MAX_COUNT, help="How often, before it is gone.")
]
_After = Annotated[
    bool,
    typer.Option("--after", help="Do the operation first; its answer is what is late or lost."),
]


@app.command("fail")
def fail(
    root: Root,
    operation: _Operation,
    code: Annotated[
        str, typer.Option(help='The error\'s code; "tracking-lost" asks for a resync.')
    ] = "simulated-fault",
    *,
    cause: Annotated[str, typer.Option(help="The error's cause.")] = "",
    times: _Times = 1,
    after: _After = False,
) -> None:
    """Let an operation fail."""
    text = cause or f"The simulated hypervisor lets {operation.value} fail."
    fault = Fault("", operation, FaultKind.FAIL, times, 0.0, code, text, after)
    _add(root, fault)


@app.command("delay")
def delay(
    root: Root,
    operation: _Operation,
    seconds: Annotated[float, typer.Option(min=0, max=MAX_SECONDS, help="How long it takes.")],
    times: _Times = 1,
    after: _After = False,
) -> None:
    """Let an operation take its time."""
    _add(root, Fault("", operation, FaultKind.DELAY, times, seconds, "", "", after))


@app.command("hang")
def hang(root: Root, operation: _Operation, times: _Times = 1, after: _After = False) -> None:
    """Let an operation hang until the faults are cleared."""
    _add(root, Fault("", operation, FaultKind.HANG, times, 0.0, "", "", after))


@app.command("list")
def list_faults(root: Root) -> None:
    """Show the faults that are there, one a line."""
    with host_at(root) as host:
        faults = host.faults.all()
    for fault in faults:
        typer.echo(f"{_shown(fault)}: {fault.remaining} left")
    typer.echo(f"{len(faults)} faults.")


@app.command("clear")
def clear(root: Root) -> None:
    """Remove all faults; what hangs goes on."""
    with host_at(root) as host:
        cleared = host.faults.clear()
    typer.echo(f"{len(cleared)} faults cleared.")


def _add(root: Root, fault: Fault) -> None:
    with host_at(root) as host:
        host.faults.add(fault)
    typer.echo(f"{_shown(fault)}: {fault.remaining} times.")


def _shown(fault: Fault) -> str:
    moment = " after it was done" if fault.is_after else ""
    return f"{fault.operation.value} {_effect(fault)}{moment}"


def _effect(fault: Fault) -> str:
    match fault.kind:
        case FaultKind.FAIL:
            return f"fails with {fault.code}"
        case FaultKind.DELAY:
            return f"takes {fault.seconds:g} s"
        case FaultKind.HANG:
            return "hangs"
