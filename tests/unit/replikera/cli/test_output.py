import io
import json
import sys

import pytest
from rich.console import Console
from typing_extensions import override

from replikera.cli.invocation import OutputFormat
from replikera.cli.output import Output, cell, console_on_stdout, properties, table


class Terminal(io.StringIO):
    @override
    def isatty(self) -> bool:
        return True


def test_json_is_exact_and_alone(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(OutputFormat.JSON)
    document = {"size": 2**63, "lag_seconds": None, "name": "Büro\x1b"}
    output.answer(document, lambda: "never")
    output.message("a word")
    output.next("a command")
    written = capsys.readouterr()
    assert json.loads(written.out) == document
    assert "\x1b" not in written.out
    assert written.err == ""


def test_people_get_tables_on_one_stream_and_words_on_the_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = Output(OutputFormat.TABLE)
    output.answer({}, lambda: table(("vm", "size"), [("web", None)]))
    output.message("a word")
    output.next("a command")
    written = capsys.readouterr()
    assert [line.split() for line in written.out.splitlines()] == [
        ["VM", "SIZE"],
        ["web", "unknown"],
    ]
    assert written.err == "a word\nnext: a command\n"


def test_a_line_is_alone_on_its_stream(capsys: pytest.CaptureFixture[str]) -> None:
    Output(OutputFormat.TABLE).line({"join_line": "rk1/x"}, "rk1/x")
    assert capsys.readouterr().out == "rk1/x\n"
    Output(OutputFormat.JSON).line({"join_line": "rk1/x"}, "rk1/x")
    assert json.loads(capsys.readouterr().out) == {"join_line": "rk1/x"}


def test_a_pipe_gets_whole_values_without_colour(capsys: pytest.CaptureFixture[str]) -> None:
    console_on_stdout().print(table(("path",), [("x" * 500,), ("healthy",)]))
    written = capsys.readouterr().out
    assert "x" * 500 in written
    assert "\x1b" not in written


@pytest.mark.parametrize(("no_color", "has_colour"), [(None, True), ("1", False)])
def test_colour_is_for_terminals_that_want_it(
    monkeypatch: pytest.MonkeyPatch, no_color: str | None, has_colour: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    console_on_stdout().print(cell("critical"))
    assert ("\x1b[1;31m" in terminal.getvalue()) is has_colour
    assert "critical" in terminal.getvalue()


def test_brackets_in_names_are_no_markup() -> None:
    sink = io.StringIO()
    console = Console(file=sink, width=80, highlight=False)
    console.print(table(("vm",), [("[red]web[/red]",)]))
    console.print(properties([("name", "[bold]x")]))
    assert "[red]web[/red]" in sink.getvalue()
    assert "[bold]x" in sink.getvalue()
