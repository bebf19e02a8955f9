"""How far each target has applied a lineage, and which points it has told two contents of."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add a table and a column; how far a target has come is not known before it tells."""
    op.add_column("points", sa.Column("other_digest", sa.LargeBinary()))
    op.create_table(
        "processed_points",
        sa.Column("protection_id", sa.Text(), sa.ForeignKey("protections.id"), primary_key=True),
        sa.Column("generation", sa.Text(), primary_key=True),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
    )
