"""The programs of this distribution, run as a user runs them."""

import json
from collections.abc import Mapping
from pathlib import Path

from replikera.cli.programs import with_full_path
from replikera.durable import write_durably
from replikera.lab.errors import LabError
from replikera.lab.machine import Machine
from replikera.lab.narrator import Narrator

COMMAND_TIMEOUT_S = 120.0
LONG_COMMAND_TIMEOUT_S = 3_600.0
"""For what copies whole disks."""


class CommandLine:
    """Runs commands in the foreground: printed before, their output shown, a failure ends the lab."""

    def __init__(self, machine: Machine, narrator: Narrator, profile: Path) -> None:
        self._machine = machine
        self._narrator = narrator
        self._environment = {"REPLIKERA_PROFILE": str(profile)}

    async def run(self, *arguments: str, timeout: float = COMMAND_TIMEOUT_S) -> None:
        """Run a command and show what it prints. Raises `LabError`."""
        with self._narrator.command(arguments):
            output = await self._run(arguments, timeout)
            if output.strip():
                self._narrator.note(output.decode(errors="replace").rstrip())

    async def answer(
        self, *arguments: str, timeout: float = COMMAND_TIMEOUT_S
    ) -> Mapping[str, object]:
        """Run a command, shown, and return its JSON answer. Raises `LabError`."""
        in_json = (*arguments, "-o", "json")
        with self._narrator.command(in_json):
            return _parsed(await self._run(in_json, timeout))

    async def save(self, path: Path, *arguments: str) -> None:
        """Run a command and keep what it prints, a secret perhaps, in a file. Raises `LabError`."""
        with self._narrator.command(arguments, f" > {path}"):
            output = await self._run(arguments, COMMAND_TIMEOUT_S)
            await self._machine.worker.run(
                write_durably, self._machine.files, path, output, mode=0o600
            )

    async def ask(self, *arguments: str) -> Mapping[str, object]:
        """Return the JSON answer of a command that changes nothing, without a word. Raises `LabError`."""
        return _parsed(await self._run((*arguments, "-o", "json"), COMMAND_TIMEOUT_S))

    async def _run(self, arguments: tuple[str, ...], timeout: float) -> bytes:
        line = " ".join(arguments)
        try:
            completed = await self._machine.terminal.run(
                with_full_path(arguments), environment=self._environment, timeout=timeout
            )
        except TimeoutError as error:
            raise LabError(
                f"`{line}` did not end within {timeout:g} s",
                "Look into the logs of the lab's folder",
            ) from error
        except FileNotFoundError as error:
            raise LabError(
                f"there is no program {arguments[0]}",
                "Install the distribution, as `make setup` does",
            ) from error
        if completed.exit_code != 0:
            raise LabError(
                f"`{line}` ended with exit code {completed.exit_code}",
                "Its own message above says why; the logs in the lab's folder may say more",
            )
        return completed.output


def _parsed(output: bytes) -> Mapping[str, object]:
    answer: Mapping[str, object] = json.loads(output)
    return answer
