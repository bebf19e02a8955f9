"""Hundreds of orders while the daemons that give and carry them out are killed: each acted on exactly once.

`python -m tests.e2e.order_rounds --orders 200 --seed 1` prints a table and ends with 1 when anything is wrong. Several
small machines are protected and then, in parallel, tested and cleaned up again and again through the REST API, every
request with an idempotency key and some with their answers thrown away, while coordinator and agents are killed and
restarted at random moments. At the end every job has ended, every request has made one job, and the target host's log
of effects shows every machine of a test failover made, started, powered off and removed once.
"""

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from agent.hypervisor.simulated.host_folder import HostFolder
from agent.hypervisor.simulated.machine_creation import MachineCreation
from replikera.lab.errors import LabError
from replikera.lab.line import COORDINATOR, Line, agent_name
from replikera.lab.machine import Machine, system_machine
from replikera.lab.narrator import Narrator
from replikera.lab.run import prepare
from replikera.lab.settings_files import host_name
from replikera.vhdx import create_image
from tests.e2e.effects import Findings, judge, read_effects
from tests.e2e.rest import RefusedRequestError, Rest, Tally

MACHINES = 6
DISK_BYTES = 4 << 20
DATA_BYTES = 1 << 20
POLICY = "seldom"
NETWORK = "production"
ORDERS_TO_PROTECT = 2
"""One to the target, one to the source."""

REQUESTS_REPEATED = 0.25
"""Share of requests whose first answer is thrown away, and of those that are sent once more after an answer."""

JOB_S = 180.0
"""How long one job may take while the daemons that work on it are killed every few seconds."""

_POLL_S = 0.3
_OPEN = "running"
_SUCCEEDED = "succeeded"


@dataclass
class Outcome:
    """What happened, and what is wrong."""

    orders: int = 0
    jobs: int = 0
    kills: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    effects: Findings = field(default_factory=Findings)
    problems: list[str] = field(default_factory=list)

    @property
    def all_problems(self) -> list[str]:
        return [*self.problems, *self.tally.problems, *self.effects.problems]


class Attacker:
    """Kills a daemon every few seconds until it is told to stop, and restarts each."""

    def __init__(
        self, machine: Machine, line: Line, chance: random.Random, outcome: Outcome
    ) -> None:
        self._machine = machine
        self._line = line
        self._chance = chance
        self._outcome = outcome
        target = agent_name(line.folder.secondary)
        source = agent_name(line.folder.primary)
        self._victims = (COORDINATOR, COORDINATOR, COORDINATOR, target, target, target, source)

    async def run(self, stopping: asyncio.Event, *, pause_s: float) -> None:
        while not stopping.is_set():
            await self._machine.clock.sleep(self._chance.uniform(0.2, 2 * pause_s))
            await self._strike(self._chance.choice(self._victims))

    async def _strike(self, name: str) -> None:
        await self._line.daemons.kill(name)
        self._outcome.kills.append(name)
        await self._machine.clock.sleep(self._chance.choice((0.0, 0.3, 1.5)))
        self._line.daemons.restart(name)
        await self._line.wait_until_ready(name)


class Operator:
    """Gives orders through the REST API, one after the other for every machine."""

    def __init__(self, machine: Machine, rest: Rest, line: Line, outcome: Outcome) -> None:
        self._machine = machine
        self._rest = rest
        self._target = host_name(line.folder.secondary)
        self._outcome = outcome

    async def prepare(self, line: Line) -> None:
        """Make the policy and the network mapping."""
        policy = {"name": POLICY, "copy_frequency_seconds": 300, "retention_hours": 24}
        await self._rest.post("/policies", policy)
        mapping = {
            "primary_host": host_name(line.folder.primary),
            "primary_network": NETWORK,
            "secondary_host": self._target,
            "secondary_network": NETWORK,
            "test_network": "test",
        }
        await self._rest.post("/network-mappings", mapping)

    async def work(self, name: str, rehearsals: int) -> None:
        """Protect a machine, and test its failover that many times."""
        try:
            protect = {"machine": name, "target_host": self._target, "policy": POLICY}
            await self._job("/protections", protect)
            for number in range(rehearsals):
                path = f"/protections/{name}/test-failovers"
                await self._job(path, {"point": "latest"})
                await self._job(f"{path}/clean-up", {"notes": f"round {number + 1}"})
        except (RefusedRequestError, TimeoutError) as error:
            self._outcome.problems.append(f"{name}: {error}")

    async def _job(self, path: str, body: Mapping[str, object]) -> None:
        job = await self._rest.post(path, body)
        deadline = self._machine.clock.monotonic() + JOB_S
        while job["state"] == _OPEN:
            if self._machine.clock.monotonic() > deadline:
                raise TimeoutError(f"job {job['id']} ({path}) has not ended: {job['tasks']}")
            await self._machine.clock.sleep(_POLL_S)
            job = await self._rest.get(f"/jobs/{job['id']}")
        if job["state"] != _SUCCEEDED:
            self._outcome.problems.append(f"job {job['id']} ({path}) {job['state']}: {job}")


@dataclass(frozen=True)
class Plan:
    """How many orders, over how many machines, and the seed of every chance."""

    orders: int
    seed: int
    machines: int = MACHINES


async def play(machine: Machine, plan: Plan, root: Path) -> Outcome:
    """Give that many orders, or a few more, in a new folder."""
    outcome = Outcome()
    machine.files.make_directory(root)
    with (root / "narration.txt").open("w") as text:
        narrator = Narrator(Console(file=text, width=200), machine.clock)
        line = await prepare(machine, narrator, root / "lab", kept_views=0)
        try:
            names = await _build(machine, line, plan.machines)
            await _give_orders(machine, line, names, plan, outcome)
        except LabError as error:
            outcome.problems.append(str(error))
        finally:
            await line.end()
    return outcome


async def _build(machine: Machine, line: Line, machines: int) -> list[str]:
    await line.make_vault()
    await line.make_host(line.folder.primary, (NETWORK,))
    names = [f"vm{number:02}" for number in range(1, machines + 1)]
    await machine.worker.run(_make_machines, machine, line, names)
    await line.join(line.folder.primary)
    await line.make_host(line.folder.secondary, (NETWORK, "test:isolated"))
    await line.join(line.folder.secondary)
    return names


def _make_machines(machine: Machine, line: Line, names: list[str]) -> None:
    disk = line.folder.disks / "small.vhdx"
    with create_image(
        machine.files.create(disk), size=DISK_BYTES, randomness=machine.randomness
    ) as image:
        image.write(machine.randomness.bytes(DATA_BYTES), 0)
    host = HostFolder(machine.files, machine.randomness, line.folder.primary.hypervisor)
    creation = MachineCreation(machine.files, machine.randomness, host)
    for name in names:
        creation.create(name, [disk], [NETWORK])


async def _give_orders(
    machine: Machine, line: Line, names: list[str], plan: Plan, outcome: Outcome
) -> None:
    chance = random.Random(f"{plan.seed}/requests")
    rest = Rest(
        machine.files, machine.clock, line.folder.profile, chance, mischief=REQUESTS_REPEATED
    )
    async with rest:
        outcome.tally = rest.tally
        operator = Operator(machine, rest, line, outcome)
        await operator.prepare(line)
        attacker = Attacker(machine, line, random.Random(f"{plan.seed}/kills"), outcome)
        await _under_attack(operator, attacker, names, plan.orders)
        await _audit(rest, line, outcome)


async def _under_attack(
    operator: Operator, attacker: Attacker, names: list[str], orders: int
) -> None:
    left = max(0, orders - ORDERS_TO_PROTECT * len(names))
    each, more = divmod((left + 1) // 2, len(names))
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        attack = tasks.create_task(attacker.run(stopping, pause_s=1.2))
        work = [
            tasks.create_task(operator.work(name, each + (at < more)))
            for at, name in enumerate(names)
        ]
        await asyncio.wait(work)
        stopping.set()
        await attack


async def _audit(rest: Rest, line: Line, outcome: Outcome) -> None:
    """Compare jobs, test failovers, the host's log and what is left there."""
    jobs = await rest.everything("/jobs")
    rehearsals = await rest.everything("/test-failovers")
    outcome.jobs = len(jobs)
    outcome.orders = sum(
        ORDERS_TO_PROTECT if job["kind"] == "enable-protection" else 1 for job in jobs
    )
    outcome.problems += _jobs_wrong(jobs, rest.tally)
    outcome.problems += [
        f"test failover {each['id']} is {each['state']}: {each['cause']}"
        for each in rehearsals
        if not each["is_successful"]
    ]
    site = line.folder.secondary
    outcome.effects = judge(read_effects(site.hypervisor / "effects.log"), rehearsals)
    left = [*site.hypervisor.glob("machines/*"), *site.hypervisor.glob("storage/rehearsals/*")]
    outcome.problems += [f"left by a test failover: {path}" for path in left]


def _jobs_wrong(jobs: list[dict[str, Any]], tally: Tally) -> list[str]:
    """Every request made one job, every job was asked for, and none is open."""
    found = [f"job {job['id']} is {job['state']}" for job in jobs if job["state"] == _OPEN]
    made = {job["id"] for job in jobs}
    # A policy and a network mapping were asked for besides the jobs.
    asked = list(tally.answers.values())
    if len(set(asked)) != len(asked):
        found.append("two requests were answered with one object")
    found += [f"nobody asked for job {job_id}" for job_id in made - set(asked)]
    missing = len(set(asked) - made) - 2
    if missing != 0:
        found.append(f"{missing} jobs that were answered are not in the list")
    return found


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def table(outcome: Outcome) -> list[str]:
    """Return the figures of a run."""
    kills: dict[str, int] = {}
    for name in outcome.kills:
        kills[name] = kills.get(name, 0) + 1
    effects, tally = outcome.effects, outcome.tally
    return [
        f"orders                         {outcome.orders}",
        f"jobs, all ended                {outcome.jobs}",
        f"kills                          {len(outcome.kills)} ({kills})",
        f"requests with a key            {tally.keys}",
        f"answers broken, asked again    {tally.broken}",
        f"test failovers                 {effects.rehearsals}",
        f"lines in the log of effects    {effects.lines}",
        f"problems                       {len(outcome.all_problems)}",
        *(f"  {problem}" for problem in outcome.all_problems),
    ]


async def _main(plan: Plan, root: Path) -> Outcome:
    with system_machine() as machine:
        return await play(machine, plan, root)


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill daemons while orders run; count effects.")
    parser.add_argument("--orders", type=int, default=200)
    parser.add_argument("--machines", type=int, default=MACHINES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dir", type=Path, default=None, help="a folder for the lab")
    options = parser.parse_args()
    parent = options.dir or Path(tempfile.mkdtemp(prefix="replikera-order-rounds-"))
    root = parent.absolute() / f"seed-{options.seed}"
    outcome = asyncio.run(_main(Plan(options.orders, options.seed, options.machines), root))
    for line in table(outcome):
        tell(line)
    if outcome.all_problems:
        tell(f"what is left for a look: {root}")
        return 1
    shutil.rmtree(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
