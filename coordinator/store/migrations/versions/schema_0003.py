"""Policies with all their settings, what a protection was asked for, more of what sources report."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_EMPTY_LIST = "'[]'"


def upgrade() -> None:
    """Add columns; what is there goes on as it did, now compressed where the network is the limit."""
    _extend_policies()
    _extend_protections()
    _extend_reports()


def _extend_policies() -> None:
    _add("policies", "application_consistent_interval", sa.BigInteger(), default="0")
    _add("policies", "compression", sa.Text(), default="'adaptive'")
    _add("policies", "throttle", sa.Text(), default=_EMPTY_LIST)
    _add("policies", "replica_on_disable", sa.Text(), default="'keep'")
    op.add_column("policies", sa.Column("rpo_target", sa.BigInteger()))


def _extend_protections() -> None:
    _add("protections", "excluded_disk_ids", sa.Text(), default=_EMPTY_LIST)
    _add("protections", "seeds", sa.Text(), default=_EMPTY_LIST)
    _add("protections", "storage_folder", sa.Text(), default="''")
    _add("protections", "replica_path", sa.Text(), default="''")
    _add("protections", "is_paused", sa.Boolean(), default="0")


def _extend_reports() -> None:
    _add("replication_reports", "sent_bytes", sa.BigInteger(), default="0")
    op.add_column("replication_reports", sa.Column("verification", sa.Text()))
    op.add_column("replication_reports", sa.Column("compared_at", sa.BigInteger()))
    op.add_column("replication_reports", sa.Column("warning", sa.Text()))


def _add(table: str, name: str, kind: "sa.types.TypeEngine[Any]", *, default: str) -> None:
    op.add_column(table, sa.Column(name, kind, nullable=False, server_default=sa.text(default)))
