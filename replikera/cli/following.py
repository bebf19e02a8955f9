"""Waits for a job's end, whatever happens to the connection meanwhile."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import typer

from replikera.cli.arguments import Duration
from replikera.cli.client import VaultClient
from replikera.cli.connection import ports_of, request
from replikera.cli.errors import (
    JobCancelledError,
    JobFailedError,
    UnreachableError,
    WaitTimedOutError,
)
from replikera.cli.output import Output, output_of
from replikera.cli.progress import JobDisplay, choose_display
from replikera.cli.records import Record, required_text
from replikera.cli.wording import duration, plain, printable
from replikera.ports.clock import Clock

POLL_S = 0.5
ENDED = frozenset({"succeeded", "failed", "cancelled"})
OUTAGE_S = 60.0
"""How long the vault may be away while a job is followed: jobs survive its restart."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Whether to wait for a job, and for how long at most."""

    is_waiting: bool
    timeout: Duration | None = None

    def __post_init__(self) -> None:
        if self.timeout is not None and not self.is_waiting:
            raise typer.BadParameter("--timeout needs --wait.")


def start_job(
    context: typer.Context, path: tuple[str, ...], body: Mapping[str, object], patience: Patience
) -> dict[str, object]:
    """Start a job and return it: as it began or, for the patient, as it ended."""

    async def operation(client: VaultClient) -> dict[str, object]:
        job = await client.post(*path, body=body)
        if not patience.is_waiting:
            return job
        return await _follow(context, client, job, patience.timeout)

    return request(context, operation)


def watch_job(context: typer.Context, job_id: str, timeout: Duration | None) -> dict[str, object]:
    """Follow a job that runs already, and return it as it ended."""

    async def operation(client: VaultClient) -> dict[str, object]:
        return await _follow(context, client, await client.get("jobs", job_id), timeout)

    return request(context, operation)


def raise_unless_done(job: Record) -> None:
    """Raise `JobFailedError` with the job's own cause and remedy if it failed, `JobCancelledError` if cancelled."""
    job_id = printable(str(job.get("id")))
    name = f"Job {job_id} ({plain(job.get('kind'))} {plain(job.get('subject'))})"
    if job.get("state") == "failed":
        raise JobFailedError(
            "job-failed",
            f"{name} failed: {plain(job.get('cause'))}",
            str(job.get("remedy") or f"See its tasks with `replikera job show {job_id}`"),
        )
    if job.get("state") == "cancelled":
        raise JobCancelledError(
            "job-cancelled",
            f"{name} was cancelled before anything of it was done",
            "Start it again if it is still wanted",
        )


async def _follow(
    context: typer.Context, client: VaultClient, job: dict[str, object], timeout: Duration | None
) -> dict[str, object]:
    output = output_of(context)
    clock = ports_of(context).clock
    with choose_display(output, clock) as display:
        follower = Follower(client, clock, display, output)
        return await follower.follow(job, None if timeout is None else timeout.seconds)


class Follower:
    """Reads a job again and again until it has ended."""

    def __init__(
        self, client: VaultClient, clock: Clock, display: JobDisplay, output: Output
    ) -> None:
        self._client = client
        self._clock = clock
        self._display = display
        self._output = output
        self._away_since: float | None = None

    async def follow(self, job: dict[str, object], timeout: float | None) -> dict[str, object]:
        """Return the job in its last state. Raises `WaitTimedOutError` and what reading it raises."""
        job_id = required_text(job, "id", "a job")
        started = self._clock.monotonic()
        self._display.show(job)
        try:
            while required_text(job, "state", f"job {job_id}") not in ENDED:
                if timeout is not None and self._clock.monotonic() - started >= timeout:
                    raise _timed_out(job_id, timeout)
                await self._clock.sleep(POLL_S)
                job = await self._read(job_id, job)
                self._display.show(job)
        except asyncio.CancelledError:
            self._output.message(f"Job {job_id} goes on.")
            self._output.next(f"replikera job watch {job_id}")
            raise
        return job

    async def _read(self, job_id: str, last: dict[str, object]) -> dict[str, object]:
        try:
            job = await self._client.get("jobs", job_id)
        except UnreachableError as error:
            now = self._clock.monotonic()
            if self._away_since is None:
                self._away_since = now
                self._output.message(f"{error.cause}. Trying again.")
            if now - self._away_since >= OUTAGE_S:
                raise
            return last
        self._away_since = None
        return job


def _timed_out(job_id: str, timeout: float) -> WaitTimedOutError:
    return WaitTimedOutError(
        "wait-timed-out",
        f"Job {job_id} still runs after {duration(timeout)}",
        f"It goes on: follow it with `replikera job watch {job_id}`",
    )
