"""Jobs as tables, and how a command that started one ends."""

import typer
from rich.console import Group, RenderableType

from replikera.cli.following import raise_unless_done
from replikera.cli.output import output_of, properties, table
from replikera.cli.progress import figures
from replikera.cli.records import Record, records
from replikera.cli.wording import instant, plain


def render_job(job: Record) -> RenderableType:
    """Return a job with its tasks."""
    pairs: list[tuple[str, object]] = [
        ("job", job.get("id")),
        ("kind", job.get("kind")),
        ("subject", job.get("subject")),
        ("state", job.get("state")),
        ("created", instant(job.get("created_at"))),
        ("finished", _finished(job)),
    ]
    if job.get("cancel_requested_at"):
        pairs.append(("cancel asked", instant(job.get("cancel_requested_at"))))
    progress = figures(job)
    if progress:
        pairs.append(("progress", progress))
    pairs += [(key, job[key]) for key in ("cause", "remedy") if job.get(key)]
    rows = [
        (task.get("name"), task.get("state"), plain(task.get("detail") or "-"))
        for task in records(job, "tasks")
    ]
    return Group(properties(pairs), "", table(("task", "state", "detail"), rows))


def present_job(context: typer.Context, job: Record, *, next_command: str) -> None:
    """Write a job; hint at `next_command` when it succeeded. Raises what `raise_unless_done` does."""
    output = output_of(context)
    output.answer(job, lambda: render_job(job))
    raise_unless_done(job)
    if job.get("state") == "succeeded":
        output.next(next_command)
    else:
        output.next(f"replikera job watch {plain(job.get('id'))}")


def _finished(job: Record) -> str:
    return "not yet" if job.get("state") == "running" else instant(job.get("finished_at"))
