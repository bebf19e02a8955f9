"""Runs the program as a person would, in a thread beside the fake vault's loop."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from typer.testing import CliRunner, Result

from replikera.cli.invocation import Invocation, Ports
from replikera.cli.main import app
from replikera.identity import Credentials, save_credentials
from replikera.ports.processes import Processes
from replikera.system.files import SystemFiles
from replikera.system.processes import SystemProcesses
from replikera.system.randomness import SystemRandomness
from tests.support.authority import VAULT_ID


@dataclass
class FakeClock:
    """Sleeping takes no time, and the time it is said to take."""

    elapsed: float = 0.0
    sleeps: list[float] = field(default_factory=list)
    start: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return self.elapsed

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.elapsed += seconds
        await asyncio.sleep(0)


@dataclass
class Cli:
    """`--profile` is given in front of every command."""

    profile: Path
    clock: FakeClock = field(default_factory=FakeClock)
    processes: Processes = field(default_factory=SystemProcesses)

    @property
    def ports(self) -> Ports:
        return Ports(SystemFiles(), self.clock, SystemRandomness(), self.processes)

    async def __call__(self, *arguments: str) -> Result:
        return await self.in_thread("--profile", str(self.profile), *arguments)

    async def in_thread(self, *arguments: str, env: dict[str, str] | None = None) -> Result:
        return await asyncio.to_thread(self.run, *arguments, env=env)

    async def yaml(self, *arguments: str) -> Any:
        """Return the same of what it writes as YAML."""
        result = await self("-o", "yaml", *arguments)
        assert result.exit_code == 0, result.stderr
        assert result.stderr == ""
        return yaml.safe_load(result.stdout)

    async def json(self, *arguments: str) -> Any:
        """Return what a successful command writes for programs, after checking that it is nothing else."""
        result = await self("-o", "json", *arguments)
        assert result.exit_code == 0, result.stderr
        assert result.stderr == ""
        return json.loads(result.stdout)

    async def lines(self, *arguments: str) -> list[str]:
        """Return what a successful command writes for people, blanks squeezed."""
        result = await self(*arguments)
        assert result.exit_code == 0, result.stderr
        return squeezed(result.stdout)

    def run(self, *arguments: str, env: dict[str, str] | None = None) -> Result:
        invocation = Invocation(ports=self.ports)
        environment = {"COLUMNS": "80", "REPLIKERA_PROFILE": None, **(env or {})}
        return CliRunner(env=environment).invoke(
            app, arguments, obj=invocation, catch_exceptions=False
        )


def squeezed(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def write_profile(folder: Path, credentials: Credentials, **changes: object) -> None:
    save_credentials(SystemFiles(), folder, credentials)
    document = {"vault_id": VAULT_ID, "vault_name": "lab", "api_address": "127.0.0.1:1", **changes}
    path = folder / "profile.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    path.chmod(0o600)
