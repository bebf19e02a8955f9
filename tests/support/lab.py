"""A machine for the lab without processes: programs answer from a script, time passes at once."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ParamSpec, TypeVar

from rich.console import Console

from replikera.lab.machine import Machine
from replikera.lab.narrator import Narrator
from replikera.ports.processes import Completed
from replikera.ports.randomness import Randomness
from replikera.system.files import SystemFiles
from replikera.system.randomness import SystemRandomness

P = ParamSpec("P")
T = TypeVar("T")
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class InstantClock:
    """Sleeping moves it on and takes no time."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return START + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        self.passed += max(seconds, 0.0)


class InlineWorker:
    """Runs calls where they are made."""

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return function(*args, **kwargs)


@dataclass
class ScriptedPrograms:
    """Answers command lines, by their words after the program's folder, and remembers them.

    The longest scripted beginning wins; what is not scripted succeeds without output.
    """

    answers: dict[str, Completed | BaseException | Callable[[], Completed]] = field(
        default_factory=dict
    )
    ran: list[str] = field(default_factory=list)
    environments: list[Mapping[str, str]] = field(default_factory=list)
    alive: set[int] = field(default_factory=set)
    deaf: set[int] = field(default_factory=set)
    killed: list[int] = field(default_factory=list)
    said: bytes = b'{"event": "it is ready"}\n'

    def answer(self, line: str, document: object) -> None:
        self.answers[line] = Completed(0, json.dumps(document).encode(), b"")

    def respond(self, arguments: Sequence[str]) -> Completed:
        line = " ".join((Path(arguments[0]).name, *arguments[1:]))
        self.ran.append(line)
        matching = sorted((key for key in self.answers if line.startswith(key)), key=len)
        found = self.answers[matching[-1]] if matching else Completed(0, b"", b"")
        if isinstance(found, BaseException):
            raise found
        return found if isinstance(found, Completed) else found()

    def start_detached(
        self,
        arguments: Sequence[str],
        *,
        output: Path,
        environment: Mapping[str, str] | None = None,
    ) -> int:
        self.respond(arguments)
        self.environments.append(environment or {})
        with output.open("ab") as log:
            log.write(self.said)
        process_id = 9_000_000 + len(self.ran)  # beyond the greatest that Linux gives out
        self.alive.add(process_id)
        return process_id

    def terminate(self, process_id: int) -> None:
        if process_id not in self.deaf:
            self.alive.discard(process_id)

    def kill(self, process_id: int) -> None:
        self.killed.append(process_id)
        self.alive.discard(process_id)

    def is_alive(self, process_id: int) -> bool:
        return process_id in self.alive


class ScriptedTerminal:
    """The foreground of `ScriptedPrograms`."""

    def __init__(self, programs: ScriptedPrograms) -> None:
        self.programs = programs

    async def run(
        self, arguments: Sequence[str], *, environment: Mapping[str, str], timeout: float
    ) -> Completed:
        assert timeout > 0
        self.programs.environments.append(environment)
        return self.programs.respond(arguments)


class ScriptedProcesses(ScriptedPrograms):
    """The background of the same."""

    async def run(
        self, arguments: Sequence[str], *, standard_input: bytes = b"", timeout: float
    ) -> Completed:
        assert timeout > 0
        assert not standard_input
        return self.respond(arguments)

    async def run_attached(self, arguments: Sequence[str]) -> int:
        return self.respond(arguments).exit_code


@dataclass
class LabBench:
    """The machine, what ran on it, and what was told."""

    machine: Machine
    programs: ScriptedProcesses
    clock: InstantClock
    narrator: Narrator
    text: io.StringIO


def make_bench() -> LabBench:
    programs, clock, text = ScriptedProcesses(), InstantClock(), io.StringIO()
    machine = Machine(
        files=SystemFiles(),
        clock=clock,
        randomness=SystemRandomness(),
        processes=programs,
        terminal=ScriptedTerminal(programs),
        worker=InlineWorker(),
        free_ports=_ports,
    )
    narrator = Narrator(Console(file=text, width=200, highlight=False), clock)
    return LabBench(machine, programs, clock, narrator, text)


def _ports(count: int, _randomness: Randomness) -> tuple[int, ...]:
    return tuple(range(20_001, 20_001 + count))
