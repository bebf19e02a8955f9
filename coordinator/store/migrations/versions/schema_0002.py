"""Trust and history: sites, clouds, operators, certificates, the chain over the events, repeated requests."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

from replikera.history import GENESIS, Line, digest_of

revision = "0002"
down_revision = "0001"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BATCH = 1000  # lines in memory at once: an old vault has many
_LINES = sa.text(
    "SELECT number, occurred_at, actor, kind, subject, detail FROM events "
    "WHERE number > :after ORDER BY number LIMIT :limit"
)
_SET_DIGEST = sa.text("UPDATE events SET digest = :digest WHERE number = :number")


def upgrade() -> None:
    """Add tables and columns; what is there already is kept, its history chained, its sites and clouds listed."""
    _add_columns()
    _create_tables()
    _chain_history()
    _list_sites()


def _text(name: str, *, nullable: bool = False, key: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=nullable, primary_key=key)


def _number(name: str, *, nullable: bool = False) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _bytes(name: str) -> "sa.Column[bytes]":
    return sa.Column(name, sa.LargeBinary(), nullable=False)


def _add_columns() -> None:
    zero = sa.text("0")
    for table, name in (
        ("hosts", "start_count"),
        ("hosts", "deny_list_version"),
        ("protections", "grant_version"),
    ):
        op.add_column(table, sa.Column(name, sa.BigInteger(), nullable=False, server_default=zero))
    for table, name, default in (
        ("hosts", "state", "active"),
        ("hosts", "run_id", ""),
        ("events", "actor", "vault"),
    ):
        op.add_column(table, sa.Column(name, sa.Text(), nullable=False, server_default=default))
    for table, name in (("hosts", "cause"), ("hosts", "remedy")):
        op.add_column(table, _text(name, nullable=True))
    # SQLite takes a reference together with its column, and Alembic would add it after.
    op.execute("ALTER TABLE registration_keys ADD COLUMN readmits TEXT REFERENCES hosts (id)")
    for table, name in (
        ("protections", "grant_issued_at"),
        ("protections", "grant_not_after"),
        ("jobs", "cancel_requested_at"),
        ("orders", "withdrawn_at"),
    ):
        op.add_column(table, _number(name, nullable=True))
    empty = sa.text("x''")
    op.add_column(
        "events", sa.Column("digest", sa.LargeBinary(), nullable=False, server_default=empty)
    )


def _create_tables() -> None:
    op.create_table(
        "control",
        _text("id", key=True),
        _text("mode"),
        _number("mode_since"),
        _number("deny_list_version"),
        _number("reconciled_number"),
    )
    op.create_table(
        "sites",
        _text("id", key=True),
        _text("name"),
        _number("created_at"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "clouds",
        _text("id", key=True),
        _text("name"),
        _text("site"),
        _number("created_at"),
        sa.UniqueConstraint("site", "name"),
    )
    op.create_table(
        "operators",
        _text("id", key=True),
        _text("name"),
        _text("role"),
        _number("created_at"),
        _number("revoked_at", nullable=True),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "certificates",
        _text("id", key=True),
        _text("role"),
        _text("name"),
        _text("state"),
        _number("issued_at"),
        _number("not_after"),
        _bytes("public_key_hash"),
        _bytes("chain"),
        sa.Index("certificates_by_member", "role", "name"),
        sa.Index("certificates_by_end", "not_after"),
    )
    op.create_table(
        "requests",
        _text("actor", key=True),
        _text("key", key=True),
        _bytes("digest"),
        _text("result"),
        _number("created_at"),
    )
    op.create_index("ix_requests_created_at", "requests", ["created_at"])
    op.create_index("protections_by_source", "protections", ["source_host_id"])
    op.create_index("protections_by_target", "protections", ["target_host_id"])
    op.create_index("events_by_subject", "events", ["subject"])


def _chain_history() -> None:
    connection = op.get_bind()
    number, digest = 0, GENESIS
    while rows := connection.execute(_LINES, {"after": number, "limit": _BATCH}).all():
        chained = []
        for number, occurred_at, actor, kind, subject, detail in rows:
            moment = _EPOCH + timedelta(microseconds=occurred_at)
            digest = digest_of(digest, Line(number, moment, actor, kind, subject, detail))
            chained.append({"number": number, "digest": digest})
        connection.execute(_SET_DIGEST, chained)


def _list_sites() -> None:
    op.execute(
        "INSERT INTO sites (id, name, created_at) "
        "SELECT lower(hex(randomblob(16))), site, min(registered_at) FROM hosts GROUP BY site"
    )
    op.execute(
        "INSERT INTO clouds (id, name, site, created_at) "
        "SELECT lower(hex(randomblob(16))), cloud, site, min(registered_at) FROM hosts "
        "WHERE cloud <> '' GROUP BY site, cloud"
    )
    op.execute(
        "INSERT INTO control (id, mode, mode_since, deny_list_version, reconciled_number) "
        "SELECT id, 'serving', created_at, 0, 0 FROM vault"
    )
