"""Jobs as tables, and how a command that started one ends."""

import typer
from rich.console import Group, RenderableType

from replikera.cli.following import raise_unless_done
from replikera.cli.output import output_of, properties, table
from replikera.cli.point_view import render_digests
from replikera.cli.progress import figures
from replikera.cli.records import Record, field, records
from replikera.cli.wording import instant, plain, size


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
    parts: list[RenderableType] = [properties(pairs), "", table(("task", "state", "detail"), rows)]
    exported = field(job, "result", "disk")
    digests = [exported] if isinstance(exported, dict) else records(job, "result", "disks")
    if digests:
        parts += ["", render_digests(digests)]
    found = _found(job)
    if found:
        parts += ["", properties(found)]
    return Group(*parts)


def present_job(context: typer.Context, job: Record, *, next_command: str) -> None:
    """Write a job; hint at `next_command` when it succeeded. Raises what `raise_unless_done` does."""
    output = output_of(context)
    output.answer(job, lambda: render_job(job))
    raise_unless_done(job)
    if job.get("state") == "succeeded":
        output.next(next_command)
    else:
        output.next(f"replikera job watch {plain(job.get('id'))}")


def _found(job: Record) -> list[tuple[str, object]]:
    """Return what a job brought to light beside digests, as lines of a table."""
    pairs: list[tuple[str, object]] = []
    kept = field(job, "result", "kept_paths")
    if isinstance(kept, list):
        pairs += [("kept", path) for path in kept] or [("kept", "nothing")]
    path = field(job, "result", "path")
    if path is not None:
        pairs.append(("file", plain(path)))
    name = field(job, "result", "name")
    if name is not None:
        sequence = field(job, "result", "point", "sequence")
        pairs.append(("point", f"{plain(sequence)}, {plain(name)}"))
    checked = field(job, "result", "checked_bytes")
    if checked is not None:
        pairs.append(("compared", size(checked)))
        pairs.append(("different", size(field(job, "result", "differing_bytes"))))
    return pairs


def _finished(job: Record) -> str:
    return "not yet" if job.get("state") == "running" else instant(job.get("finished_at"))
