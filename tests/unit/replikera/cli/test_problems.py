import json

import pytest

from replikera.cli.errors import AnswerError, CommandError, ExitCode, UnreachableError
from replikera.cli.problems import error_of, parse_answer

PROBLEM = "application/problem+json"


@pytest.mark.parametrize(
    ("status", "exit_code"),
    [
        (400, ExitCode.USAGE),
        (401, ExitCode.AUTHENTICATION),
        (403, ExitCode.AUTHENTICATION),
        (404, ExitCode.NOT_FOUND),
        (409, ExitCode.CONFLICT),
        (412, ExitCode.CONFLICT),
        (422, ExitCode.USAGE),
        (500, ExitCode.FAILED),
        (503, ExitCode.FAILED),
        (302, ExitCode.FAILED),
    ],
)
def test_status_decides_the_exit_code(status: int, exit_code: ExitCode) -> None:
    assert error_of(status, "text/plain", b"").exit_code is exit_code


def test_a_vault_that_cannot_for_the_moment_may_be_asked_again() -> None:
    assert isinstance(error_of(503, "text/plain", b""), UnreachableError)
    assert not isinstance(error_of(500, "text/plain", b""), UnreachableError)


def test_code_cause_and_remedy_are_the_vaults() -> None:
    document = {
        "code": "unknown-machine",
        "detail": "No VM sql9",
        "remedy": "List them",
        "extra": 1,
    }
    error = error_of(404, PROBLEM, json.dumps(document).encode())
    assert (error.code, error.cause, error.remedy) == ("unknown-machine", "No VM sql9", "List them")
    assert error.problem()["extra"] == 1
    assert error.problem()["detail"] == "No VM sql9"


def test_title_and_status_stand_in_for_what_is_missing() -> None:
    error = error_of(409, PROBLEM, b'{"title": "Conflict", "detail": 5}')
    assert (error.code, error.cause, error.remedy) == ("http-409", "Conflict", "")


@pytest.mark.parametrize(
    ("content_type", "body"),
    [(PROBLEM, b"{"), (PROBLEM, b"[]"), ("text/html", b"<html>"), (PROBLEM, b"[" * 100_000)],
)
def test_an_answer_without_a_problem_names_its_status(content_type: str, body: bytes) -> None:
    error = error_of(502, content_type, body)
    assert isinstance(error, CommandError)
    assert "HTTP 502" in error.cause
    assert "log" in error.remedy


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"7", b"\xff", b"[" * 100_000])
def test_answers_that_are_not_objects_are_refused(body: bytes) -> None:
    with pytest.raises(AnswerError, match="same version"):
        parse_answer(body)


def test_an_object_is_returned_as_it_is() -> None:
    assert parse_answer(b'{"size": 12345678901234567890}') == {"size": 12345678901234567890}
