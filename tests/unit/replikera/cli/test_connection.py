import typer
from typer.testing import CliRunner

from replikera.cli.connection import ports_of
from replikera.cli.invocation import Invocation, Ports
from replikera.system.clock import SystemClock
from replikera.system.files import SystemFiles


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
    own = Ports(SystemFiles(), SystemClock())
    assert ports_given(Invocation(ports=own)) is own
