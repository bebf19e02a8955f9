import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from replikera.cli.lazy import load
from replikera.cli.main import _NOUNS, _Nouns
from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli, squeezed

VAULT = {"id": "v", "name": "lab", "created_at": "2026-11-22T20:14:55Z", "session_address": "h:1"}


@pytest.fixture
def bare(tmp_path: Path) -> Cli:
    return Cli(tmp_path / "nowhere")


def test_help_lists_every_noun(bare: Cli) -> None:
    result = bare.run("--help")
    assert result.exit_code == 0
    listed = [
        line.split()[0] for line in result.stdout.partition("Commands:")[2].splitlines() if line
    ]
    assert listed == list(_NOUNS)
    assert "..." not in result.stdout.partition("Commands:")[2]


def test_help_loads_neither_http_nor_tables_nor_certificates() -> None:
    program = (
        "import sys, replikera.cli.main as m\n"
        "try: m.app(['--help'])\n"
        "except SystemExit: pass\n"
        "print([n for n in ('aiohttp', 'rich', 'yaml', 'grpc', 'asyncio', 'cryptography', 'pydantic') "
        "if n in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True, timeout=60
    )
    assert done.stderr.strip() == "[]"
    assert "Commands:" in done.stdout


@pytest.mark.parametrize("name", [name for name in _NOUNS if name != "lab"])
def test_every_noun_loads_and_carries_its_help(bare: Cli, name: str) -> None:
    assert load(_Nouns.sources[name]) is not None
    result = bare.run(name, "--help")
    assert result.exit_code == 0
    assert _NOUNS[name] in squeezed(result.stdout)


def test_every_verb_has_help(bare: Cli) -> None:
    for name, source in _Nouns.sources.items():
        if name == "lab":
            continue
        for verb in getattr(load(source), "commands", {}):
            result = bare.run(name, verb, "--help")
            assert result.exit_code == 0, (name, verb)
            assert "--output" in result.stdout
            assert "--profile" in result.stdout


def test_the_lab_is_loaded_only_when_it_is_called(
    bare: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []
    lab = typer.Typer()
    lab.command("run")(lambda: called.append("run"))
    lab.command("down")(lambda: called.append("down"))
    module = type(sys)("replikera.lab.commands")
    module.__dict__["app"] = lab
    monkeypatch.setitem(sys.modules, "replikera.lab.commands", module)
    assert bare.run("lab", "run").exit_code == 0
    assert called == ["run"]


def test_the_version_is_the_distributions(bare: Cli) -> None:
    result = bare.run("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("replikera 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["vm", "nonsense"],
        ["-o", "xml", "vm", "list"],
        ["policy", "create", "p"],
        ["policy", "create", "p", "--copy-frequency", "5", "--retention", "1d"],
        ["policy", "create", "p", "--copy-frequency", "0s", "--retention", "1d"],
        ["policy", "create", "p", "--copy-frequency", "5s", "--retention", "90m"],
        ["host", "invite"],
        ["host", "invite", "--site", "a", "--valid-for", "soon"],
        ["network-mapping", "create", "--primary", "hv1", "--secondary", "hv2/lan"],
        ["test-failover", "start", "web", "--point", ""],
        ["protection", "enable", "web", "--target-host", "hv2"],
        [
            "protection",
            "enable",
            "web",
            "--target-host",
            "h",
            "--policy",
            "p",
            "--timeout",
            "5s",
        ],
        ["job", "watch"],
        ["job", "list", "--state", "lost"],
        ["vm", "list", "--limit", "0"],
        ["vm", "list", "--watch=soon"],
        ["site", "create", "a", "--watch"],
        ["operator", "create", "ben", "--role", "reader"],
        ["vault", "restore", "b.tar"],
    ],
)
async def test_wrong_usage_ends_with_2_and_asks_the_vault_nothing(
    cli: Cli, vault: FakeVault, arguments: list[str]
) -> None:
    result = await cli(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error" in result.stderr
    assert vault.requests == []


async def test_global_options_are_understood_after_the_verb(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/vault", VAULT)
    result = await cli(
        "--profile", "/nonexistent", "vault", "show", "-o", "json", "--profile", str(cli.profile)
    )
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == VAULT


async def test_the_profile_is_found_by_the_environment(cli: Cli, vault: FakeVault) -> None:
    vault.says("GET", "/vault", VAULT)
    command = ("-o", "json", "vault", "show")
    environment = {"REPLIKERA_PROFILE": str(cli.profile)}
    found = await cli.in_thread(*command, env=environment)
    assert json.loads(found.stdout) == VAULT
    named = await cli.in_thread("--profile", "/nonexistent", *command, env=environment)
    assert named.exit_code == 4


async def test_without_any_profile_the_platforms_folder_is_named(cli: Cli, tmp_path: Path) -> None:
    result = await cli.in_thread("vault", "show", env={"XDG_CONFIG_HOME": str(tmp_path / "config")})
    assert result.exit_code == 4
    assert str(tmp_path / "config" / "replikera" / "profile.json") in result.stderr
