"""Kills of random daemons at random moments; then every point at the target is compared with its source.

`python -m tests.e2e.kill_rounds --rounds 30 --seed 1` prints a table and ends with 1 when any byte or point is wrong.
A round is a lab of its own: two sites, a machine under load, kills during the initial replication, between and during
cycles, and during a test failover and its clean-up. What a failed round leaves stays for a look.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from replikera.lab.errors import LabError
from replikera.lab.line import COORDINATOR, MACHINE_NAME, Line, agent_name
from replikera.lab.machine import Machine, system_machine
from replikera.lab.narrator import Narrator
from replikera.lab.run import build, prepare
from replikera.lab.sample_disk import make_sample_disk
from replikera.lab.waiting import wait_for
from tests.e2e.offline import Verification, source_states, verify

T = TypeVar("T")
DISK_BYTES = 96 << 20
DATA_BYTES = 32 << 20
EVERY_VIEW = 10_000
QUIET_S = 90.0
"""How long the line may take to go on after a kill; a broken session is dialled again within seconds."""


@dataclass
class Round:
    """What happened in one round."""

    number: int
    kills: list[str] = field(default_factory=list)
    highest_acknowledged: int = 0
    verification: Verification = field(default_factory=Verification)

    @property
    def is_good(self) -> bool:
        return not self.verification.problems


class Attacker:
    """Kills and restarts the daemons of one line."""

    def __init__(self, machine: Machine, line: Line, chance: random.Random, outcome: Round) -> None:
        self._machine = machine
        self._line = line
        self._chance = chance
        self._outcome = outcome

    async def strike(self, phase: str, *, within: float) -> None:
        """Kill one daemon at some moment of the next `within` seconds, and restart it soon after."""
        await self._machine.clock.sleep(self._chance.uniform(0, within))
        folder = self._line.folder
        name = self._chance.choice(
            (COORDINATOR, agent_name(folder.primary), agent_name(folder.secondary))
        )
        await self._line.daemons.kill(name)
        self._outcome.kills.append(f"{phase}: {name}")
        self._note_acknowledged()
        await self._machine.clock.sleep(self._chance.choice((0.0, 0.3, 1.5)))
        self._line.daemons.restart(name)
        await self._line.wait_until_ready(name)

    def _note_acknowledged(self) -> None:
        for state in source_states(self._machine, self._line.folder):
            highest = max(self._outcome.highest_acknowledged, state.head.sequence)
            self._outcome.highest_acknowledged = highest


async def play(machine: Machine, number: int, seed: int, root: Path) -> Round:
    """Play one round in a new folder."""
    outcome = Round(number)
    disk = await machine.worker.run(_make_disk, machine, root)
    with (root / "narration.txt").open("w") as text:
        narrator = Narrator(Console(file=text, width=200), machine.clock)
        line = await prepare(machine, narrator, root / "lab", kept_views=EVERY_VIEW)
        try:
            await build(machine, narrator, line, (disk,), has_workload=True)
            await _attack(machine, line, random.Random(f"{seed}/{number}"), outcome)
        except LabError as error:
            outcome.verification.problems.append(str(error))
        finally:
            await line.end()
    if outcome.is_good:
        await _judge(machine, line, outcome, root)
    return outcome


def _make_disk(machine: Machine, root: Path) -> Path:
    root.mkdir(parents=True)
    path = root / "sample.vhdx"
    make_sample_disk(machine.files, path, machine.randomness, size=DISK_BYTES, data_size=DATA_BYTES)
    return path


async def _attack(machine: Machine, line: Line, chance: random.Random, outcome: Round) -> None:
    attacker = Attacker(machine, line, chance, outcome)
    await line.protect(waits=False)
    await attacker.strike("initial replication", within=1.5)
    await _until(machine, _point_count(line), lambda count: count >= 1, "the first point")
    for _ in range(chance.randint(1, 3)):
        await attacker.strike("cycles", within=4.0)
    await _goes_on(machine, line)
    test = ("replikera", "test-failover")
    await line.commands.run(*test, "start", MACHINE_NAME, "--point", "latest")
    await attacker.strike("test failover", within=1.5)
    await _until(machine, _rehearsal(line), lambda state: state == "started", "the test failover")
    await line.commands.run(*test, "cleanup", MACHINE_NAME)
    await attacker.strike("clean-up", within=0.5)
    await _until(machine, _rehearsal(line), lambda state: state == "cleaned-up", "the clean-up")
    await _goes_on(machine, line)


async def _goes_on(machine: Machine, line: Line) -> None:
    """Return once new points come again: whatever was killed has found its way back."""
    count = await _point_count(line)()
    await _until(machine, _point_count(line), lambda now: now >= count + 2, "two new points")


def _point_count(line: Line) -> Callable[[], Awaitable[int]]:
    async def ask() -> int:
        return len(await line.points())

    return ask


def _rehearsal(line: Line) -> Callable[[], Awaitable[object]]:
    async def ask() -> object:
        shown: Mapping[str, object] = await line.commands.ask(
            "replikera", "test-failover", "show", MACHINE_NAME
        )
        if shown.get("state") == "failed":
            raise LabError(f"the test failover failed: {shown}", "Look into the logs")
        return shown.get("state")

    return ask


async def _until(
    machine: Machine, ask: Callable[[], Awaitable[T]], is_there: Callable[[T], bool], what: str
) -> None:
    async def look() -> bool | None:
        return True if is_there(await ask()) else None

    await wait_for(machine.clock, look, what=what, timeout=QUIET_S)


async def _judge(machine: Machine, line: Line, outcome: Round, root: Path) -> None:
    found = outcome.verification = await verify(machine, line.folder, root / "recovered")
    if outcome.highest_acknowledged > found.points:
        found.problems.append(
            f"point {outcome.highest_acknowledged} was acknowledged, {found.points} are there"
        )
    left = [str(path) for path in line.folder.secondary.hypervisor.glob("storage/rehearsals/*")]
    left += [str(path) for path in line.folder.secondary.hypervisor.glob("machines/*")]
    found.problems += [f"left by a test failover: {path}" for path in left]


def row(outcome: Round) -> str:
    """Return a round as a line of the table."""
    found = outcome.verification
    verdict = "equal" if outcome.is_good else "WRONG"
    figures = f"{outcome.number:>5}  {len(outcome.kills):>5}  {found.acknowledged:>12}"
    return (
        f"{figures}  {found.points:>6}  {found.compared:>8}  {verdict}  {'; '.join(outcome.kills)}"
    )


HEADING = "round  kills  acknowledged  points  compared  verdict"


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def play_all(rounds: int, seed: int, root: Path) -> list[Round]:
    """Play rounds one after the other; a good one's folder is removed."""
    tell(HEADING)
    outcomes = []
    with system_machine() as machine:
        for number in range(1, rounds + 1):
            folder = root / f"round-{number}"
            outcome = await play(machine, number, seed, folder)
            outcomes.append(outcome)
            tell(row(outcome))
            for problem in outcome.verification.problems:
                tell(f"       {problem} ({folder})")
            if outcome.is_good:
                shutil.rmtree(folder)
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill daemons at random, compare every point.")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dir", type=Path, default=None, help="a new folder for the rounds")
    options = parser.parse_args()
    root: Path = options.dir or Path(tempfile.mkdtemp(prefix="replikera-kill-rounds-"))
    outcomes = asyncio.run(play_all(options.rounds, options.seed, root.absolute()))
    good = sum(outcome.is_good for outcome in outcomes)
    kills = sum(len(outcome.kills) for outcome in outcomes)
    compared = sum(outcome.verification.compared for outcome in outcomes)
    tell(f"{good} of {len(outcomes)} rounds good, {kills} kills, {compared} disks compared")
    return 0 if good == len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
