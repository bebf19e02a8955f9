"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create all tables."""
    _create_hosts()
    _create_inventory()
    _create_catalogue()
    _create_protections()
    _create_work()


def _text(name: str, *arguments: object, nullable: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), *arguments, nullable=nullable)  # type: ignore[arg-type]  # constraints


def _number(name: str, *, nullable: bool = False, key: bool = False) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), nullable=nullable, primary_key=key)


def _key(name: str = "id") -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), primary_key=True)


def _create_hosts() -> None:
    op.create_table("vault", _key(), _text("name"), _number("created_at"))
    op.create_table(
        "hosts",
        _key(),
        _text("name"),
        _text("site"),
        _number("registered_at"),
        _text("cloud"),
        _text("hypervisor"),
        _text("agent_version"),
        _text("replication_address"),
        _number("minimum_copy_interval"),
        _number("last_seen_at", nullable=True),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "registration_keys",
        _key(),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        _text("site"),
        _number("created_at"),
        _number("expires_at"),
        _number("revoked_at", nullable=True),
        _number("used_at", nullable=True),
        _text("host_id", sa.ForeignKey("hosts.id"), nullable=True),
        sa.Column("public_key_hash", sa.LargeBinary()),
        sa.Column("certificate_chain", sa.LargeBinary()),
    )


def _create_inventory() -> None:
    op.create_table(
        "machines",
        sa.Column("host_id", sa.Text(), sa.ForeignKey("hosts.id"), primary_key=True),
        _key(),
        _text("name"),
        sa.Column("is_running", sa.Boolean(), nullable=False),
        _text("description"),
    )
    op.create_index("machines_by_id", "machines", ["id"])
    op.create_index("machines_by_name", "machines", ["name"])
    op.create_table(
        "networks",
        sa.Column("host_id", sa.Text(), sa.ForeignKey("hosts.id"), primary_key=True),
        _key("name"),
        sa.Column("is_isolated", sa.Boolean(), nullable=False),
        _text("subnets"),
    )


def _create_catalogue() -> None:
    op.create_table(
        "policies",
        _key(),
        _text("name"),
        _number("copy_frequency"),
        _number("retention"),
        _number("created_at"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "network_mappings",
        _key(),
        _text("primary_host_id", sa.ForeignKey("hosts.id")),
        _text("primary_network"),
        _text("secondary_host_id", sa.ForeignKey("hosts.id")),
        _text("secondary_network"),
        _text("test_network", nullable=True),
        _number("created_at"),
        sa.UniqueConstraint("primary_host_id", "primary_network", "secondary_host_id"),
    )


def _create_protections() -> None:
    op.create_table(
        "protections",
        _key(),
        _text("machine_id"),
        _text("machine_name"),
        _text("source_host_id", sa.ForeignKey("hosts.id")),
        _text("target_host_id", sa.ForeignKey("hosts.id")),
        _text("policy_id", sa.ForeignKey("policies.id")),
        _text("state"),
        _number("epoch_number"),
        _text("generation"),
        _text("job_id"),
        _number("created_at"),
        _text("cause", nullable=True),
        _text("remedy", nullable=True),
        sa.UniqueConstraint("machine_id"),
    )
    op.create_index("ix_protections_machine_name", "protections", ["machine_name"])
    op.create_table(
        "points",
        sa.Column("protection_id", sa.Text(), sa.ForeignKey("protections.id"), primary_key=True),
        _key("generation"),
        _number("sequence", key=True),
        _text("kind"),
        _text("name"),
        _number("capture_started_at"),
        _number("capture_ended_at"),
        _number("sealed_at"),
        _number("payload_bytes"),
        sa.Column("chain_digest", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "replication_reports",
        sa.Column("protection_id", sa.Text(), sa.ForeignKey("protections.id"), primary_key=True),
        _text("state"),
        _text("failure", nullable=True),
        _number("done_bytes"),
        _number("total_bytes"),
        sa.Column("rate", sa.Float(), nullable=False),
        _number("acknowledged_capture_started_at", nullable=True),
        _number("acknowledged_sequence"),
        _number("reported_at"),
    )


def _create_work() -> None:
    op.create_table(
        "rehearsals",
        _key(),
        _text("protection_id", sa.ForeignKey("protections.id")),
        _text("job_id"),
        _text("state"),
        _text("generation"),
        _number("sequence"),
        _text("machine_name"),
        _text("nics"),
        _number("created_at"),
        _text("machine_id", nullable=True),
        _text("disks"),
        _text("steps"),
        _text("guest", nullable=True),
        _text("removed"),
        _text("notes"),
        sa.Column("was_started", sa.Boolean(), nullable=False),
        _text("cause", nullable=True),
        _text("remedy", nullable=True),
    )
    op.create_index("ix_rehearsals_protection_id", "rehearsals", ["protection_id"])
    op.create_table(
        "jobs",
        _key(),
        _text("kind"),
        _text("subject"),
        _text("protection_id"),
        _text("rehearsal_id", nullable=True),
        _text("state"),
        _text("tasks"),
        _number("created_at"),
        _text("cause", nullable=True),
        _text("remedy", nullable=True),
        _number("finished_at", nullable=True),
    )
    op.create_index("ix_jobs_state", "jobs", ["state"])
    op.create_index("ix_jobs_created_at", "jobs", ["created_at"])
    op.create_table(
        "orders",
        _key(),
        _text("job_id", sa.ForeignKey("jobs.id")),
        _text("host_id", sa.ForeignKey("hosts.id")),
        _number("issued_at"),
        _text("action"),
        _text("outcome", nullable=True),
        _number("finished_at", nullable=True),
    )
    op.create_index("orders_open_by_host", "orders", ["host_id", "finished_at"])
    op.create_table(
        "events",
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=True),
        _number("occurred_at"),
        _text("kind"),
        _text("subject"),
        _text("detail"),
        sqlite_autoincrement=True,
    )
