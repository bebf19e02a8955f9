from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from replikera.cli.errors import CommandError, NotFoundError, UnreachableError
from replikera.cli.invocation import Invocation
from replikera.cli.leaf import noun
from replikera.cli.plugin import Datum, Plugin, PluginState, Result, tell, worst

OK, WARNING, CRITICAL, UNKNOWN = PluginState


def plugin(found: Result | Exception) -> typer.Typer:
    app = noun("Checks.")

    @app.command("other", cls=Plugin)
    def other() -> None:
        pass

    @app.command("thing", cls=Plugin)
    def thing(
        context: typer.Context, *, limit: Annotated[int, typer.Option("--limit")] = 1
    ) -> None:
        if isinstance(found, Exception):
            raise found
        raise typer.Exit(tell(context, found))

    return app


def run(found: Result | Exception, *arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(plugin(found), ["thing", *arguments], obj=Invocation())
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("state", list(PluginState))
def test_the_exit_code_is_the_state(state: PluginState) -> None:
    assert run(Result(state, "so it is")) == (state.value, f"THING {state.name} - so it is\n", "")


@pytest.mark.parametrize(
    "error",
    [
        UnreachableError("vault-unreachable", "No vault answers", "Start it"),
        NotFoundError("unknown", "No vault answers.", "Start it."),
    ],
)
def test_what_keeps_it_from_looking_is_unknown_on_the_same_line(error: CommandError) -> None:
    assert run(error) == (3, "THING UNKNOWN - No vault answers. Start it.\n", "")


@pytest.mark.parametrize("arguments", [("--bogus",), ("--limit", "x"), ("surplus",)])
def test_wrong_usage_is_no_state_of_what_is_watched(arguments: tuple[str, ...]) -> None:
    code, line, _ = run(Result(OK, "fine"), *arguments)
    assert code == 3
    assert line.startswith("THING UNKNOWN - ")
    assert line.count("\n") == 1


def test_wrong_usage_that_shows_late_is_unknown_too() -> None:
    code, line, _ = run(typer.BadParameter("these two do not go together"))
    assert (code, line) == (3, "THING UNKNOWN - Invalid value: these two do not go together\n")


def test_help_is_no_failure() -> None:
    assert run(Result(OK, "fine"), "--help")[0] == 0


def test_the_line_ends_where_the_performance_data_begin() -> None:
    data = (Datum("web", 21.2, 30, 45), Datum("it's=a|b", None, None, 86400.0004))
    line = Result(WARNING, "a|b\nc\x1b", data).line("RPO")
    assert line == ("RPO WARNING - a/b c\\x1b|'web'=21.2s;30;45;0 'it''s_a_b'=U;;86400;0")


def test_programs_get_the_same_as_a_document() -> None:
    assert Result(OK, "fine", (Datum("web", 1.5, 30, 45),)).document("RPO") == {
        "service": "RPO",
        "state": "OK",
        "text": "fine",
        "data": [{"label": "web", "seconds": 1.5, "warning": 30, "critical": 45}],
    }


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((), UNKNOWN),
        ((OK, OK), OK),
        ((OK, UNKNOWN), UNKNOWN),
        ((UNKNOWN, WARNING), WARNING),
        ((CRITICAL, UNKNOWN, WARNING), CRITICAL),
    ],
)
def test_what_is_bad_for_certain_comes_before_what_is_not_known(
    states: tuple[PluginState, ...], expected: PluginState
) -> None:
    assert worst(states) is expected
