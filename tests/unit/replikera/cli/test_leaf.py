import json
from collections.abc import Callable

import pytest
import typer
from typer.testing import CliRunner

from replikera.cli.errors import (
    AuthenticationError,
    CommandError,
    ConflictError,
    JobFailedError,
    NotFoundError,
    RefusedError,
    WaitTimedOutError,
)
from replikera.cli.invocation import Invocation, OutputFormat
from replikera.cli.leaf import Leaf, noun


def fail_with(error: BaseException) -> typer.Typer:
    app = noun("Things.")

    @app.command("break", cls=Leaf)
    def command() -> None:
        raise error

    @app.command("other", cls=Leaf)
    def other() -> None:
        typer.echo("unused")

    return app


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (RefusedError, 1),
        (WaitTimedOutError, 3),
        (AuthenticationError, 4),
        (JobFailedError, 5),
        (NotFoundError, 6),
        (ConflictError, 7),
    ],
)
def test_every_kind_of_failure_has_its_exit_code(
    kind: Callable[[str, str, str], CommandError], code: int
) -> None:
    result = CliRunner().invoke(
        fail_with(kind("some-code", "It broke", "Mend it.")), ["break"], obj=Invocation()
    )
    assert result.exit_code == code
    assert result.stderr == "error: It broke.\nremedy: Mend it.\n"
    assert result.stdout == ""


def test_ctrl_c_ends_with_130() -> None:
    result = CliRunner().invoke(fail_with(KeyboardInterrupt()), ["break"], obj=Invocation())
    assert result.exit_code == 130


def test_programs_get_a_problem_document_on_standard_error() -> None:
    app = fail_with(RefusedError("some-code", "It broke", "Mend it"))
    result = CliRunner().invoke(app, ["break", "-o", "json"], obj=Invocation())
    assert result.exit_code == 1
    assert result.stdout == ""
    problem = json.loads(result.stderr)
    assert (problem["code"], problem["detail"], problem["remedy"]) == (
        "some-code",
        "It broke",
        "Mend it",
    )


def test_validation_errors_are_listed_and_made_printable() -> None:
    document = {
        "errors": [
            {"pointer": "/name", "detail": "too\x1b long"},
            "odd",
            {"pointer": "/size", "detail": "Bad\nrequest"},
        ]
    }
    app = fail_with(RefusedError("invalid", "Bad\nrequest", "", document))
    result = CliRunner().invoke(app, ["break"], obj=Invocation())
    assert result.stderr == "error: Bad\\nrequest.\n  /name: too\\x1b long\n"


def test_the_option_after_the_verb_decides() -> None:
    invocation = Invocation(output_format=OutputFormat.JSON)
    app = fail_with(RefusedError("some-code", "It broke", "Mend it"))
    result = CliRunner().invoke(app, ["break", "--output", "table"], obj=invocation)
    assert result.stderr.startswith("error: It broke")
