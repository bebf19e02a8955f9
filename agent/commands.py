"""`replikera-agent join` and `replikera-agent run`: everything that needs the whole agent."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from agent import daemon
from agent.config import AgentSettings, load_agent_settings
from agent.control.anchor import AnchorError
from agent.control.deny_lists import DenyListFileError
from agent.control.join import JoinError, join
from agent.control.ledger import LedgerError
from agent.control.membership import Membership, MembershipError, MembershipFolder
from agent.control.renewal import expired_text
from agent.control.run import RunCountError, begin_run
from agent.folders import FolderError, prepare_folders
from agent.machinery import Machinery, real_machinery
from replikera.enrolment import JoinLineError, parse_join_line
from replikera.identity import Credentials
from replikera.ports.clock import Clock
from replikera.ports.files import Files
from replikera.settings import SettingsError
from replikera.stopping import stopping_on_signals
from replikera.supervision import supervised
from replikera.system.files import SystemFiles
from replikera.system.memory import keep_large_buffers
from replikera.system.service_manager import service_manager
from replikera.telemetry import configure_logging

MAX_JOIN_LINE_BYTES = 4096

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

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
        with _only_one(files, loaded), real_machinery() as machinery:
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


@app.command("run")
def run_command(settings: SettingsOption) -> None:
    """Run the agent until it is told to stop."""
    with _told_errors():
        files = SystemFiles()
        loaded = load_agent_settings(files, settings)
        configure_logging(loaded.log_level)
        keep_large_buffers()
        with _only_one(files, loaded), real_machinery() as machinery:
            asyncio.run(_run(loaded, machinery))


_COMMANDS = typer.main.get_group(app).commands
JOIN = _COMMANDS["join"]
RUN = _COMMANDS["run"]


async def _run(settings: AgentSettings, machinery: Machinery) -> None:
    folder = _membership_folder(machinery.files, settings)
    membership, credentials = folder.load()
    _check_not_expired(membership, credentials, machinery.clock)
    record = settings.agent.state_directory / "replica-folders.json"
    prepare_folders(machinery.files, settings.folders, record)
    run = begin_run(machinery.files, folder.path / "starts.json", machinery.randomness)
    identity = daemon.Identity(folder, membership, credentials, run)
    manager = service_manager()
    with stopping_on_signals() as stopping:
        async with supervised(manager, machinery.clock, stopping):
            agent = daemon.Agent(settings, identity, machinery)
            await agent.run(stopping, ready=manager.tell_ready)


def _check_not_expired(membership: Membership, credentials: Credentials, clock: Clock) -> None:
    if credentials.caller.not_after <= clock.now():
        raise MembershipError(expired_text(credentials, membership))


def _membership_folder(files: Files, settings: AgentSettings) -> MembershipFolder:
    return MembershipFolder(files, settings.agent.state_directory / "identity")


def _join_line(files: Files, file: Path | None) -> str:
    if file is not None:
        status = files.status(file)
        if status is not None and status.is_open_to_others:
            raise JoinLineError(
                f"{file} holds a secret and is open to other users: run chmod 600 {file}"
            )
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
        AnchorError,
        RunCountError,
        DenyListFileError,
        FolderError,
        OSError,
    ) as error:
        _fail(str(error), 1)


def _fail(problem: str, code: int) -> NoReturn:
    typer.echo(f"error: {problem}", err=True)
    raise typer.Exit(code)
