"""The networks of test failovers, when they end, and where hosts put the disks of recovered machines."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_FOURTEEN_DAYS = 14 * 24 * 3600 * 1_000_000


def upgrade() -> None:
    """Add columns.

    A host's path is not known until it tells. A test of before ends as if it had been begun without a time of its own.
    """
    mapped, never, unknown = sa.text("'mapped'"), sa.text("0"), sa.text("''")
    op.add_column(
        "hosts", sa.Column("storage_path", sa.Text(), nullable=False, server_default=unknown)
    )
    op.add_column(
        "rehearsals", sa.Column("network", sa.Text(), nullable=False, server_default=mapped)
    )
    op.add_column(
        "rehearsals", sa.Column("ends_at", sa.BigInteger(), nullable=False, server_default=never)
    )
    table = sa.table("rehearsals", sa.column("created_at"), sa.column("ends_at"))
    op.execute(table.update().values(ends_at=table.c.created_at + _FOURTEEN_DAYS))
    op.create_index("ix_rehearsals_ends_at", "rehearsals", ["ends_at"])
