import typer
from typer.testing import CliRunner

from replikera.cli.connection import ports_of
from replikera.cli.invocation import Invocation, Ports
from replikera.system.clock import SystemClock
from replikera.system.files import SystemFiles
from replikera.system.processes import SystemProcesses
from replikera.system.randomness import SystemRandomness
from tests.unit.replikera.cli.fake_vault import FakeVault
from tests.unit.replikera.cli.running import Cli


def ports_given(invocation: Invocation) -> Ports:
    seen: list[Ports] = []
    app = typer.Typer()

    @app.command()
    def command(context: typer.Context) -> None:
        seen.append(ports_of(context))

    assert CliRunner().invoke(app, [], obj=invocation).exit_code == 0
    return seen[0]


def test_the_real_machine_is_under_a_command_unless_told() -> None:
    ports = ports_given(Invocation())
    assert isinstance(ports.clock, SystemClock)
    assert isinstance(ports.files, SystemFiles)


def test_another_machine_can_be_put_under_it() -> None:
    own = Ports(SystemFiles(), SystemClock(), SystemRandomness(), SystemProcesses())
    assert ports_given(Invocation(ports=own)) is own


async def test_a_profile_that_others_may_read_is_used_with_a_warning(
    cli: Cli, vault: FakeVault
) -> None:
    vault.says("GET", "/vault", {"name": "lab"})
    (cli.profile / "key.pem").chmod(0o644)
    people = await cli("vault", "show")
    assert people.exit_code == 0
    assert people.stderr.startswith("warning: key.pem in")
    assert f"Run: chmod -R go= {cli.profile}" in people.stderr
    assert await cli.json("vault", "show") == {"name": "lab"}
