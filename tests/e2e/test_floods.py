"""A flood of strangers at the doors of a running coordinator: its hosts do not notice, and nothing grows."""

import io
import random
import sqlite3
import tomllib
from pathlib import Path

import grpc
import pytest
from rich.console import Console

from benchmarks.measured import process_state, reset_peak
from replikera.lab.line import COORDINATOR, Line, agent_name
from replikera.lab.machine import system_machine
from replikera.lab.narrator import Narrator
from replikera.lab.run import prepare
from replikera.system.clock import SystemClock
from replikera.system.files import SystemFiles
from tests.e2e.floods import bad_enrolments, silent_sockets
from tests.e2e.rest import Rest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SILENT = 500
ENROLMENTS = 1000
WATCHED_S = 12.0
"""Longer than a host may be silent before it counts as disconnected, with what the flood itself takes."""

REFUSALS = {
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,  # more calls at once than a connection may carry
}

MAX_GROWTH = 128 << 20
"""Of the coordinator's resident memory in the first flood: some 130 KiB a connection."""

MAX_FURTHER_GROWTH = 24 << 20
"""In another flood of the same size: what the first one took is used again."""


async def test_a_flood_of_strangers_leaves_hosts_connected_and_the_vault_as_it_was(
    tmp_path: Path,
) -> None:
    with system_machine() as machine:
        narrator = Narrator(Console(file=io.StringIO()), machine.clock)
        line = await prepare(machine, narrator, tmp_path / "lab", kept_views=0)
        try:
            await line.make_vault()
            await line.make_host(line.folder.primary, ("production",))
            await line.join(line.folder.primary)
            await line.make_host(line.folder.secondary, ("production",))
            await line.join(line.folder.secondary)
            await flood(line)
        finally:
            await line.end()


async def flood(line: Line) -> None:
    ports = listening_ports(line)
    coordinator = line.daemons.process_id(COORDINATOR)
    logs = {name: line.daemons.log(name) for name in agents(line)}
    before = rows(line)
    ended = {name: lost_sessions(log) for name, log in logs.items()}
    reset_peak(coordinator)
    quiet = process_state(coordinator).resident_bytes
    with silent_sockets(list(ports.values()), SILENT):
        answers = await bad_enrolments(ports["enrolment"], ENROLMENTS)
        await SystemClock().sleep(WATCHED_S)
        states = await host_states(line)
    once = process_state(coordinator).peak_bytes
    with silent_sockets(list(ports.values()), SILENT):
        await bad_enrolments(ports["enrolment"], ENROLMENTS)
    assert answers.total() == ENROLMENTS
    assert set(answers) <= REFUSALS
    assert answers[grpc.StatusCode.RESOURCE_EXHAUSTED] > ENROLMENTS / 2
    assert states == ["connected", "connected"]
    assert {name: lost_sessions(log) for name, log in logs.items()} == ended
    assert rows(line) == before
    assert once - quiet < MAX_GROWTH
    assert process_state(coordinator).peak_bytes - once < MAX_FURTHER_GROWTH


def agents(line: Line) -> list[str]:
    return [agent_name(site) for site in (line.folder.primary, line.folder.secondary)]


def listening_ports(line: Line) -> dict[str, int]:
    settings = tomllib.loads(line.folder.coordinator_settings.read_text())
    names = ("enrolment", "session", "api")
    return {name: int(settings[name]["listen"].rpartition(":")[2]) for name in names}


def lost_sessions(log: Path) -> int:
    return log.read_text().count("no session with the vault")


def rows(line: Line) -> dict[str, int]:
    """Return how many rows each table of the vault has."""
    path = line.folder.vault_state / "vault.db"
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        query = "SELECT name FROM sqlite_master WHERE type = 'table'"
        tables = [str(name) for (name,) in connection.execute(query)]
        return {
            name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608
            for name in tables
        }
    finally:
        connection.close()


async def host_states(line: Line) -> list[str]:
    clock, folder = SystemClock(), line.folder
    async with Rest(SystemFiles(), clock, folder.profile, random.Random(1)) as rest:
        return [str(host["state"]) for host in await rest.everything("/hosts")]
