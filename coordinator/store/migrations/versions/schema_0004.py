"""Storage mappings, the folders that hosts offer, results of jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add a table and columns; a host offers no folder until it tells."""
    none = sa.text("'[]'")
    op.add_column(
        "hosts", sa.Column("replica_folders", sa.Text(), nullable=False, server_default=none)
    )
    op.add_column("jobs", sa.Column("result", sa.Text()))
    op.create_table(
        "storage_mappings",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("primary_host_id", sa.Text(), sa.ForeignKey("hosts.id"), nullable=False),
        sa.Column("storage_class", sa.Text(), nullable=False),
        sa.Column("secondary_host_id", sa.Text(), sa.ForeignKey("hosts.id"), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("primary_host_id", "storage_class", "secondary_host_id"),
    )
