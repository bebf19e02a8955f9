"""The command lists everything and loads only what is asked for."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from agent.main import app

HEAVY = {"grpc", "cryptography", "structlog", "agent.daemon", "agent.hypervisor.simulated.commands"}
PROBE = """
import json, sys
from agent.main import app
app(sys.argv[1:], standalone_mode=False)
print(json.dumps([name for name in sys.modules]))
"""


def loaded_by(*arguments: str) -> set[str]:
    """Return the modules that a command loads; what is slow to load is among `HEAVY`."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_loads_nothing() -> None:
    assert not loaded_by("--help") & HEAVY


def test_a_simulated_host_needs_no_agent() -> None:
    assert loaded_by("simulate", "--help") & HEAVY == {"agent.hypervisor.simulated.commands"}


@pytest.mark.parametrize(
    ("command", "said"),
    [("join", "Holds the join line"), ("run", "settings file"), ("simulate", "create-machine")],
)
def test_every_command_that_is_listed_is_there(command: str, said: str) -> None:
    listed = CliRunner().invoke(app, ["--help"])
    assert command in listed.output
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0, result.output
    assert said in result.output


@pytest.mark.parametrize("command", ["join", "run"])
def test_settings_that_are_missing_are_told(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--settings", "/nowhere/agent.toml"])
    assert result.exit_code == 2
    assert "/nowhere/agent.toml" in result.output
