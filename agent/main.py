"""The command `replikera-agent`: join a vault, run the agent, simulate a hypervisor."""

from typing import ClassVar

import typer

from replikera.cli.lazy import LazyGroup


class _Commands(LazyGroup):
    """Each is loaded when it is asked for: a simulated host needs no agent, and a production host no simulation."""

    sources: ClassVar[dict[str, str]] = {
        "join": "agent.commands:JOIN",
        "run": "agent.commands:RUN",
        "simulate": "agent.hypervisor.simulated.commands:app",
    }


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Replikera's agent on a hypervisor host.",
)
for _name, _help in {
    "join": "Join the vault that a join line names.",
    "run": "Run the agent until it is told to stop.",
    "simulate": "Make and drive a simulated hypervisor, for trials.",
}.items():
    app.add_typer(typer.Typer(help=_help, rich_markup_mode=None), name=_name)


def main() -> None:
    """Run the command."""
    app()
