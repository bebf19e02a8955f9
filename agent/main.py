"""The command `replikera-agent`: join a vault, run the agent, simulate a hypervisor."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from agent import daemon
from agent.config import AgentSettings, load_agent_settings
from agent.control.control_version import ControlVersionError
from agent.control.join import JoinError, join
from agent.control.ledger import LedgerError
from agent.control.membership import Membership, MembershipError, MembershipFolder
from agent.machinery import Machinery, real_machinery
from replikera.enrolment import JoinLineError, parse_join_line
from replikera.identity import Credentials
from replikera.ports.clock import Clock
from replikera.ports.files import Files
from replikera.settings import SettingsError
from replikera.stopping import stopping_on_signals
from replikera.system.files import SystemFiles
from replikera.system.memory import keep_large_buffers
from replikera.telemetry import configure_logging

MAX_JOIN_LINE_BYTES = 4096

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Replikera's agent on a hypervisor host.",
)

SettingsOption = Annotated[Path, typer.Option("--settings", help="The agent's settings file.")]


@app.command("join")
def join_command(
    settings: SettingsOption,
    file: Annotated[
        Path | None, typer.Option("--file", help="Holds the join line; else it is asked for.")
    ] = None,
) -> None:
    """Join the vault that the join line names. The line is never an argument: others could read it."""
    with _told_errors():
        files = SystemFiles()
        loaded = load_agent_settings(files, settings)
        line = parse_join_line(_join_line(files, file))
        folder = _membership_folder(files, loaded)
        with real_machinery() as machinery:
            membership = asyncio.run(
                join(
                    line,
                    folder,
                    machinery.state,
                    host_name=loaded.agent.host_name,
                    cloud=loaded.agent.cloud or "",
                )
            )
        typer.echo(
            f"Host {loaded.agent.host_name} ({membership.host_id}) joined vault "
            f"{membership.vault_name} at site {membership.site}."
        )


@app.command()
def run(settings: SettingsOption) -> None:
    """Run the agent until it is told to stop."""
    with _told_errors():
        files = SystemFiles()
        loaded = load_agent_settings(files, settings)
        configure_logging(loaded.log_level)
        keep_large_buffers()
        with _only_one(files, loaded), real_machinery() as machinery:
            asyncio.run(_run(loaded, machinery))


@app.command(
    "simulate",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
def simulate(context: typer.Context) -> None:
    """Make and drive a simulated hypervisor, for trials."""
    # Loaded when it is asked for: no production host needs it.
    commands = import_module("agent.hypervisor.simulated.commands")
    commands.app(args=context.args, prog_name="replikera-agent simulate")


def main() -> None:
    """Run the command."""
    app()


async def _run(settings: AgentSettings, machinery: Machinery) -> None:
    membership, credentials = _membership_folder(machinery.files, settings).load()
    _check_not_expired(membership, credentials, machinery.clock)
    with stopping_on_signals() as stopping:
        await daemon.Agent(settings, membership, credentials, machinery).run(stopping)


def _check_not_expired(membership: Membership, credentials: Credentials, clock: Clock) -> None:
    not_after = credentials.caller.not_after
    if not_after <= clock.now():
        raise MembershipError(
            f"the certificate of this host has expired on {not_after:%Y-%m-%d at %H:%M} UTC, and this "
            f"version renews none: invite it to vault {membership.vault_name} again, set another agent.name, remove "
            f"the identity folder, and join; its protections do not come along"
        )


def _membership_folder(files: Files, settings: AgentSettings) -> MembershipFolder:
    return MembershipFolder(files, settings.agent.state_directory / "identity")


def _join_line(files: Files, file: Path | None) -> str:
    if file is not None:
        try:
            return files.read_bytes(file, limit=MAX_JOIN_LINE_BYTES).decode()
        except ValueError as error:
            raise JoinLineError(f"{file} does not hold a join line") from error
    if sys.stdin.isatty():
        answer: str = typer.prompt("Join line", hide_input=True)
        return answer
    return sys.stdin.readline(MAX_JOIN_LINE_BYTES)


@contextmanager
def _only_one(files: Files, settings: AgentSettings) -> Iterator[None]:
    """Keep a second agent away from the state directory; before a join there is nothing to keep."""
    folder = settings.agent.state_directory
    if files.status(folder) is None:
        yield
        return
    lock = folder / "lock"
    if files.is_locked(lock):
        raise MembershipError(
            f"an agent runs on {folder} already: stop it first, or correct agent.state_directory"
        )
    with files.lock(lock):
        yield


@contextmanager
def _told_errors() -> Iterator[None]:
    try:
        yield
    except SettingsError as error:
        _fail(str(error), 2)
    except (
        JoinLineError,
        JoinError,
        MembershipError,
        LedgerError,
        ControlVersionError,
        OSError,
    ) as error:
        _fail(str(error), 1)


def _fail(problem: str, code: int) -> NoReturn:
    typer.echo(f"error: {problem}", err=True)
    raise typer.Exit(code)
