"""tries to send a message, situation maps; keys of requests stand with their answers only

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Document = sa.JSON().with_variant(JSONB(), "postgresql")

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alert_attempts",
        sa.Column("id", BigId, nullable=False),
        sa.Column("bundle", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("sender", sa.String(length=200), nullable=False),
        sa.Column("begun_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_attempts")),
        sa.UniqueConstraint("bundle", "number", name=op.f("uq_alert_attempts_bundle_number")),
    )
    op.create_table(
        "situation_maps",
        sa.Column("slot_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.String(length=200), nullable=False),
        sa.Column("content", Document, nullable=False),
        sa.PrimaryKeyConstraint("slot_ms", name=op.f("pk_situation_maps")),
    )
    with op.batch_alter_table("work_order_history", schema=None) as batch_op:
        batch_op.drop_constraint(
            batch_op.f("uq_work_order_history_idempotency_key"), type_="unique"
        )
        batch_op.drop_column("idempotency_key")
    # Answers of before are kept in clear: a request that comes again after this is judged anew.
    op.execute("DELETE FROM idempotency")


def downgrade() -> None:
    op.execute("DELETE FROM idempotency")
    with op.batch_alter_table("work_order_history", schema=None) as batch_op:
        batch_op.add_column(sa.Column("idempotency_key", sa.String(length=200), nullable=True))
        batch_op.create_unique_constraint(
            batch_op.f("uq_work_order_history_idempotency_key"), ["idempotency_key"]
        )
    op.drop_table("situation_maps")
    op.drop_table("alert_attempts")
