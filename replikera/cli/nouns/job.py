"""`replikera job`: the vault's long work."""

from enum import StrEnum
from typing import Annotated

import typer

from replikera.cli.arguments import TimeoutOption, WaitOption
from replikera.cli.errors import ConflictError
from replikera.cli.following import Patience, raise_unless_done, start_job, watch_job
from replikera.cli.job_view import render_job
from replikera.cli.leaf import Leaf, Listing, Viewing, noun
from replikera.cli.listing import present_list
from replikera.cli.output import output_of
from replikera.cli.records import Record
from replikera.cli.watching import view
from replikera.cli.wording import instant, plain

app = noun("Long work of the vault: see it, follow it, cancel it.")
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The job's id.")]


class State(StrEnum):
    """How far a job is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@app.command("list", cls=Listing)
def list_jobs(
    context: typer.Context,
    *,
    state: Annotated[State | None, typer.Option("--state", help="Only jobs in this state.")] = None,
    subject: Annotated[
        str | None,
        typer.Option("--subject", metavar="VM", help="Only jobs about this machine, by name."),
    ] = None,
) -> None:
    """List the jobs, newest first."""
    present_list(
        context,
        "jobs",
        query={"state": None if state is None else state.value, "subject": subject},
        columns=("job", "kind", "subject", "state", "created", "cause"),
        row=_row,
        none="There is no such job." if state or subject else "The vault has run no job.",
        next_when_none="replikera vm list",
    )


@app.command("show", cls=Viewing)
def show(context: typer.Context, job_id: IdArgument) -> None:
    """Show a job with its tasks."""
    output = output_of(context)

    def present(job: Record) -> None:
        output.answer(job, lambda: render_job(job))
        if job.get("state") == "running":
            output.next(f"replikera job watch {plain(job.get('id'))}")

    view(context, lambda client: client.get("jobs", job_id), present)


@app.command("watch", cls=Leaf)
def watch(context: typer.Context, job_id: IdArgument, timeout: TimeoutOption = None) -> None:
    """Follow a job to its end. The exit code is 5 if the job failed, 3 if it was cancelled."""
    job = watch_job(context, job_id, timeout)
    output_of(context).answer(job, lambda: render_job(job))
    raise_unless_done(job)


@app.command("cancel", cls=Leaf)
def cancel(
    context: typer.Context,
    job_id: IdArgument,
    *,
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
) -> None:
    """Take back what of a job no host has begun.

    What has begun goes on to its end. With --wait the exit code is 0 if the job was cancelled, 7 if it was too
    late for that.
    """
    job = start_job(context, ("jobs", job_id, "cancel"), {}, Patience(wait, timeout))
    output = output_of(context)
    output.answer(job, lambda: render_job(job))
    match job.get("state"):
        case "succeeded":
            raise ConflictError(
                "too-late-to-cancel",
                f"Job {plain(job.get('id'))} had begun, and has succeeded",
                f"See what it did with `replikera job show {plain(job.get('id'))}`",
            )
        case "failed":
            raise_unless_done(job)
        case "running":
            output.next(f"replikera job watch {plain(job.get('id'))}")
        case _:
            output.message("The job was cancelled: nothing of it was done.")


def _row(job: Record) -> tuple[object, ...]:
    return (
        job.get("id"),
        job.get("kind"),
        job.get("subject"),
        job.get("state"),
        instant(job.get("created_at")),
        job.get("cause") or "-",
    )
