"""The narrator prints the real lines and measures."""

import pytest

from tests.support.lab import make_bench


async def test_a_command_is_printed_before_it_runs_and_timed() -> None:
    bench = make_bench()
    bench.narrator.heading("Begin")
    with bench.narrator.command(("replikera", "policy", "create", "a b"), " > file"):
        assert "$ replikera policy create 'a b' > file" in bench.text.getvalue()
        await bench.clock.sleep(2.5)
    (step,) = bench.narrator.steps
    assert (step.name, step.command, step.seconds) == (
        "Begin",
        "replikera policy create 'a b' > file",
        2.5,
    )
    assert "1. Begin" in bench.text.getvalue()


async def test_work_that_fails_is_a_step_too() -> None:
    bench = make_bench()
    with pytest.raises(ValueError, match="broken"), bench.narrator.work("reading"):
        raise ValueError("broken")
    assert [(step.name, step.command) for step in bench.narrator.steps] == [("reading", "")]


def test_brackets_in_texts_are_not_markup() -> None:
    bench = make_bench()
    bench.narrator.note("[bold]as it is[/bold]")
    bench.narrator.verdict("[x]", is_good=False)
    assert "[bold]as it is[/bold]\n[x]" in bench.text.getvalue()
