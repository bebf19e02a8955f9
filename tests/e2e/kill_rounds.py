"""Misfortunes of random daemons and of their link at random moments; then every point is compared with its source.

`python -m tests.e2e.kill_rounds --rounds 30 --seed 1` prints a table and ends with 1 when any byte or point is wrong.
A round is a lab of its own: two sites, a machine under load, and acts in random order. The initial pass comes first;
then cycles, changed settings, pauses, resyncs after a tracking loss, verifications, protections that are disabled and
enabled anew, test failovers, digests of points. In each, daemons are killed or hang and the link between the agents is
cut, slow, silent, refusing or repeating. What a failed round leaves stays for a look.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Container, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from replikera.lab.errors import LabError
from replikera.lab.line import MACHINE_NAME, POLICY, Line
from replikera.lab.machine import Machine, system_machine
from replikera.lab.narrator import Narrator
from replikera.lab.run import build, prepare
from replikera.lab.sample_disk import make_sample_disk
from replikera.lab.settings_files import PORTS_NEEDED, LoopbackPorts, host_name
from tests.e2e.acts import ACTS, Act, initial_pass, missing_orders
from tests.e2e.lag_watch import LagWatch
from tests.e2e.misfortunes import Misfortunes
from tests.e2e.offline import Verification, source_states, verify
from tests.e2e.online import OnlineComparison
from tests.e2e.rest import RefusedRequestError, Rest
from tests.e2e.stage import Stage
from tests.e2e.unkind_link import UnkindLink
from tests.e2e.vault_operator import VaultOperator

DISK_BYTES = 96 << 20
DATA_BYTES = 32 << 20
EVERY_VIEW = 10_000
ACTS_A_ROUND = 6


@dataclass
class Round:
    """What happened in one round, and what is wrong."""

    number: int
    misfortunes: list[str] = field(default_factory=list)
    acts: list[str] = field(default_factory=list)
    digested: int = 0
    looks_at_lag: int = 0
    problems: list[str] = field(default_factory=list)
    verification: Verification = field(default_factory=Verification)

    @property
    def all_problems(self) -> list[str]:
        return [*self.problems, *self.verification.problems]

    @property
    def is_good(self) -> bool:
        return not self.all_problems


@dataclass(frozen=True)
class Plan:
    """Which acts a round plays after the initial pass; random ones where none are named."""

    seed: int
    acts: tuple[Act, ...] = ()

    def of(self, chance: random.Random, paths: Container[str]) -> Sequence[Act]:
        """Return the acts that can be played with the orders that the vault takes."""
        playable = [act for act in self.acts or ACTS if not missing_orders(act, paths)]
        return playable if self.acts else [chance.choice(playable) for _ in range(ACTS_A_ROUND)]


async def play(machine: Machine, number: int, plan: Plan, root: Path) -> Round:
    """Play one round in a new folder."""
    outcome = Round(number)
    chance = random.Random(f"{plan.seed}/{number}")
    disk = await machine.worker.run(_make_disk, machine, root)
    with (root / "narration.txt").open("w") as text:
        narrator = Narrator(Console(file=text, width=200), machine.clock)
        async with _stage(machine, narrator, root, disk, chance) as stage:
            try:
                paths = await stage.rest.paths()
                await _act(stage, plan.of(chance, paths), outcome)
            except (LabError, RefusedRequestError, AssertionError, TimeoutError) as error:
                outcome.problems.append(f"{(outcome.acts or ['start'])[-1]}: {error}")
            finally:
                _note(stage, outcome)
    if outcome.is_good:
        outcome.verification = await verify(machine, stage.line.folder, root / "recovered")
        _judge(stage.line, outcome)
    return outcome


@asynccontextmanager
async def _stage(
    machine: Machine, narrator: Narrator, root: Path, disk: Path, chance: random.Random
) -> AsyncIterator[Stage]:
    async with UnkindLink(0).running() as link:
        free = machine.free_ports(PORTS_NEEDED, machine.randomness)
        ports = replace(LoopbackPorts(*free), secondary_door=link.port)
        link.far_port = ports.secondary
        line = await prepare(machine, narrator, root / "lab", kept_views=EVERY_VIEW, ports=ports)
        try:
            await build(machine, narrator, line, (disk,), has_workload=True)
            async with Rest(machine.files, machine.clock, line.folder.profile, chance) as rest:
                yield _composed(machine, line, rest, link, chance)
        finally:
            await line.end()


def _composed(
    machine: Machine, line: Line, rest: Rest, link: UnkindLink, chance: random.Random
) -> Stage:
    target = host_name(line.folder.secondary)
    operator = VaultOperator(machine, rest, MACHINE_NAME, target, POLICY)
    lag = LagWatch(machine, rest, MACHINE_NAME)
    return Stage(
        machine=machine,
        line=line,
        rest=rest,
        operator=operator,
        misfortunes=Misfortunes(machine, line, link, lag, chance),
        comparison=OnlineComparison(machine, operator, line),
        lag=lag,
        chance=chance,
        problems=[],
    )


def _make_disk(machine: Machine, root: Path) -> Path:
    root.mkdir(parents=True)
    path = root / "sample.vhdx"
    make_sample_disk(machine.files, path, machine.randomness, size=DISK_BYTES, data_size=DATA_BYTES)
    return path


async def _act(stage: Stage, acts: Sequence[Act], outcome: Round) -> None:
    for act in (initial_pass, *acts):
        outcome.acts.append(act.__name__)
        await act(stage)
    await stage.comparison.compare(stage.chance, 3)
    # What the source holds for acknowledged must be there when all of it has ended.
    for state in source_states(stage.machine, stage.line.folder):
        outcome.verification.acknowledged = state.head.sequence


def _note(stage: Stage, outcome: Round) -> None:
    outcome.misfortunes = stage.misfortunes.told
    outcome.digested = stage.comparison.compared
    outcome.looks_at_lag = stage.lag.looks
    outcome.problems += [*stage.problems, *stage.comparison.problems, *stage.lag.problems]


def _judge(line: Line, outcome: Round) -> None:
    secondary = line.folder.secondary.hypervisor
    left = [*secondary.glob("storage/rehearsals/*"), *secondary.glob("machines/*")]
    outcome.problems += [f"left by a test failover: {path}" for path in left]


def row(outcome: Round) -> str:
    """Return a round as a line of the table."""
    found = outcome.verification
    verdict = "equal" if outcome.is_good else "WRONG"
    figures = f"{outcome.number:>5}  {len(outcome.misfortunes):>11}  {found.acknowledged:>12}"
    more = f"{found.points:>6}  {found.compared:>8}  {outcome.digested:>8}"
    return f"{figures}  {more}  {verdict}  {' '.join(outcome.acts)}"


HEADING = "round  misfortunes  acknowledged  points  compared  digested  verdict  acts"


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def play_all(rounds: int, plan: Plan, root: Path) -> list[Round]:
    """Play rounds one after the other; a good one's folder is removed."""
    tell(HEADING)
    outcomes = []
    with system_machine() as machine:
        for number in range(1, rounds + 1):
            folder = root / f"round-{number}"
            outcome = await play(machine, number, plan, folder)
            outcomes.append(outcome)
            tell(row(outcome))
            if outcome.is_good:
                shutil.rmtree(folder)
                continue
            for line in (*outcome.misfortunes, *outcome.all_problems, f"see {folder}"):
                tell(f"       {line}")
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(description="Strike at random, compare every point.")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dir", type=Path, default=None, help="a new folder for the rounds")
    names = {act.__name__: act for act in ACTS}
    parser.add_argument(
        "--act", action="append", choices=sorted(names), default=[], help="what every round plays"
    )
    options = parser.parse_args()
    root: Path = options.dir or Path(tempfile.mkdtemp(prefix="replikera-kill-rounds-"))
    plan = Plan(options.seed, tuple(names[name] for name in options.act))
    outcomes = asyncio.run(play_all(options.rounds, plan, root.absolute()))
    good = sum(outcome.is_good for outcome in outcomes)
    misfortunes = sum(len(outcome.misfortunes) for outcome in outcomes)
    compared = sum(outcome.verification.compared for outcome in outcomes)
    digested = sum(outcome.digested for outcome in outcomes)
    tell(
        f"{good} of {len(outcomes)} rounds good, {misfortunes} misfortunes, "
        f"{compared} disks compared, {digested} digested at the target"
    )
    return 0 if good == len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
