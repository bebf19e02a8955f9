import io

from rich.console import Console

from replikera.cli.job_view import render_job


def rendered(job: dict[str, object]) -> list[str]:
    sink = io.StringIO()
    Console(file=sink, width=120).print(render_job(job))
    return [" ".join(line.split()) for line in sink.getvalue().splitlines()]


def test_a_running_job_has_not_finished() -> None:
    assert "finished not yet" in rendered({"state": "running"})


def test_a_job_without_a_known_end_says_so() -> None:
    assert "finished unknown" in rendered({"state": "succeeded"})


def test_cause_and_remedy_show_only_where_there_are_some() -> None:
    lines = rendered({"state": "failed", "cause": "full", "remedy": None})
    assert "cause full" in lines
    assert not [line for line in lines if line.startswith("remedy")]
