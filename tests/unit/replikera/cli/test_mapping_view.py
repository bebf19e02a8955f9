import pytest

from replikera.cli.invocation import OutputFormat
from replikera.cli.mapping_view import concerns, tell_concerned
from replikera.cli.output import Output


def test_only_what_is_wrong_is_told() -> None:
    assert concerns({"health": "healthy", "cause": None, "remedy": None}) == []
    assert concerns({"cause": "Gone.", "remedy": "Make it."}) == [
        ("cause", "Gone."),
        ("remedy", "Make it."),
    ]


def test_a_person_is_told_whom_a_change_concerns(capsys: pytest.CaptureFixture[str]) -> None:
    people, programs = Output(OutputFormat.TABLE), Output(OutputFormat.JSON)
    tell_concerned(people, ["web", "d\x1bb"], "it stays")
    tell_concerned(people, [], "it stays")
    tell_concerned(programs, ["web"], "it stays")
    assert capsys.readouterr().err.splitlines() == [
        "It concerns the protections of web, d\\x1bb: it stays.",
        "It concerns no protection.",
    ]
