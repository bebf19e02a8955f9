"""What the hosts of a protection confirmed last, when points were first heard of, and when test failovers ended."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add columns; what hosts confirmed, and when, is not known of the time before."""
    for name in ("told_target", "told_source"):
        op.add_column("protections", sa.Column(name, sa.Text()))
    op.add_column("points", sa.Column("heard_at", sa.BigInteger()))
    op.add_column("replication_reports", sa.Column("acknowledged_heard_at", sa.BigInteger()))
    op.add_column("rehearsals", sa.Column("cleaned_up_at", sa.BigInteger()))
    _fill_in_ends()


def _fill_in_ends() -> None:
    """Take the end of a test failover from the job that cleaned it up."""
    rehearsals = sa.table(
        "rehearsals", sa.column("job_id"), sa.column("state"), sa.column("cleaned_up_at")
    )
    jobs = sa.table(
        "jobs", sa.column("id"), sa.column("kind"), sa.column("state"), sa.column("finished_at")
    )
    ended = sa.select(jobs.c.finished_at).where(
        jobs.c.id == rehearsals.c.job_id,
        jobs.c.kind == "clean-up-test-failover",
        jobs.c.state == "succeeded",
    )
    op.execute(
        rehearsals.update()
        .where(rehearsals.c.state == "cleaned-up")
        .values(cleaned_up_at=ended.scalar_subquery())
    )
