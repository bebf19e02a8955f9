"""`replikera job`: the vault's long work."""

from typing import Annotated

import typer

from replikera.cli.arguments import WaitTimeoutOption
from replikera.cli.connection import get
from replikera.cli.following import raise_if_failed, watch_job
from replikera.cli.job_view import render_job
from replikera.cli.leaf import Leaf, noun
from replikera.cli.listing import present_list
from replikera.cli.output import output_of
from replikera.cli.records import Record
from replikera.cli.wording import instant, plain

app = noun("Long work of the vault: see it, follow it.")
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The job's id.")]


@app.command("list", cls=Leaf)
def list_jobs(context: typer.Context) -> None:
    """List the jobs."""
    present_list(
        context,
        get(context, "jobs"),
        columns=("job", "kind", "subject", "state", "created", "cause"),
        row=_row,
        none="The vault has run no job.",
        next_when_none="replikera vm list",
    )


@app.command("show", cls=Leaf)
def show(context: typer.Context, job_id: IdArgument) -> None:
    """Show a job with its tasks."""
    job = get(context, "jobs", job_id)
    output = output_of(context)
    output.answer(job, lambda: render_job(job))
    if job.get("state") == "running":
        output.next(f"replikera job watch {plain(job.get('id'))}")


@app.command("watch", cls=Leaf)
def watch(
    context: typer.Context, job_id: IdArgument, wait_timeout: WaitTimeoutOption = None
) -> None:
    """Follow a job to its end. The exit code is 5 if the job failed."""
    job = watch_job(context, job_id, wait_timeout)
    output_of(context).answer(job, lambda: render_job(job))
    raise_if_failed(job)


def _row(job: Record) -> tuple[object, ...]:
    return (
        job.get("id"),
        job.get("kind"),
        job.get("subject"),
        job.get("state"),
        instant(job.get("created_at")),
        job.get("cause") or "-",
    )
