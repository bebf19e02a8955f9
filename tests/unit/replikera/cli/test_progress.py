import io
import sys
from typing import Any

import pytest
from rich.console import Console
from typing_extensions import override

from replikera.cli.invocation import OutputFormat
from replikera.cli.output import Output
from replikera.cli.progress import BarDisplay, LineDisplay, choose_display, figures
from tests.unit.replikera.cli.running import FakeClock

GIB = 1024**3


def job(*states: str, state: str = "running", progress: object = None) -> dict[str, Any]:
    names = ("accept replica at target", "initial replication")
    tasks = [{"name": name, "state": task} for name, task in zip(names, states, strict=False)]
    return {
        "kind": "enable-protection",
        "subject": "web",
        "state": state,
        "tasks": tasks,
        "progress": progress,
    }


def test_each_change_of_a_task_is_one_line() -> None:
    lines: list[str] = []
    with LineDisplay(lines.append) as display:
        display.show(job("waiting", "waiting"))
        display.show(job("running", "waiting"))
        display.show(job("running", "waiting"))
        display.show(job("succeeded", "running"))
    assert lines == [
        "accept replica at target: running",
        "accept replica at target: succeeded",
        "initial replication: running",
    ]


def test_a_tasks_detail_is_shown_printable() -> None:
    lines: list[str] = []
    LineDisplay(lines.append).show(
        {"tasks": [{"name": "t", "state": "failed", "detail": "no\x1b"}]}
    )
    assert lines == ["t: failed (no\\x1b)"]


def test_figures_tell_bytes_rate_and_time_left() -> None:
    progress = {"done_bytes": GIB, "total_bytes": 3 * GIB, "rate": GIB / 100}
    assert figures(job(progress=progress)) == "1.0 GiB of 3.0 GiB  10.2 MiB/s  3m 20s left"


@pytest.mark.parametrize("rate", [None, 0, "fast"])
def test_time_left_is_unknown_without_a_rate(rate: object) -> None:
    progress = {"done_bytes": 1, "total_bytes": 2, "rate": rate}
    assert figures(job(progress=progress)).endswith("unknown left")


@pytest.mark.parametrize("progress", [None, {}, {"done_bytes": None, "total_bytes": 5}, [1]])
def test_no_figures_without_progress(progress: object) -> None:
    assert figures(job(progress=progress)) == ""


def bar_output(*jobs: dict[str, Any]) -> str:
    sink = io.StringIO()
    console = Console(file=sink, force_terminal=True, width=160, color_system=None, highlight=False)
    with BarDisplay(console, FakeClock()) as display:
        for each in jobs:
            display.show(each)
    return sink.getvalue()


def test_the_bar_names_the_running_task_and_its_figures() -> None:
    progress = {"done_bytes": GIB, "total_bytes": 4 * GIB, "rate": GIB}
    text = bar_output(job("succeeded", "running", progress=progress))
    assert "enable-protection web: initial replication" in text
    assert "1.0 GiB of 4.0 GiB  1.0 GiB/s  3s left" in text


def test_the_bar_is_full_when_the_job_succeeded() -> None:
    progress = {"done_bytes": GIB, "total_bytes": 4 * GIB, "rate": GIB}
    text = bar_output(
        job("running", progress=progress), job("succeeded", state="succeeded", progress=progress)
    )
    last = [line for line in text.splitlines() if "web: succeeded" in line][-1]
    assert "━" * 40 in last
    assert "left" not in last


def test_markup_in_names_is_shown_as_it_is() -> None:
    assert "[red]x" in bar_output({"kind": "[red]x", "state": "running"})


class Terminal(io.StringIO):
    @override
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_and_a_pipe_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    output = Output(OutputFormat.TABLE)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert isinstance(choose_display(output, FakeClock()), BarDisplay)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(choose_display(output, FakeClock()), LineDisplay)
