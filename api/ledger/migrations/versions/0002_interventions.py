"""interventions, their notes, and points of safety walks

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Document = sa.JSON().with_variant(JSONB(), "postgresql")

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "interventions",
        sa.Column("id", BigId, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("sites", Document, nullable=False),
        sa.Column("area", sa.String(length=200), nullable=False),
        sa.Column("start", sa.Date(), nullable=False),
        sa.Column("end", sa.Date(), nullable=True),
        sa.Column("cancelled", sa.Boolean(), nullable=False),
        sa.Column("band", sa.String(length=40), nullable=False),
        sa.Column("hypothesis", sa.Text(), nullable=False),
        sa.Column("factors", Document, nullable=False),
        sa.Column("budget_sek", sa.Double(), nullable=True),
        sa.Column("budget_account", sa.String(length=40), nullable=False),
        sa.Column("maintenance_plan", sa.Text(), nullable=False),
        sa.Column("yearly_operating_cost_sek", sa.Double(), nullable=True),
        sa.Column("labels", Document, nullable=False),
        sa.Column("exclude", Document, nullable=False),
        sa.Column("near", Document, nullable=False),
        sa.Column("plan", Document, nullable=True),
        sa.Column("plan_ms", sa.BigInteger(), nullable=True),
        sa.Column("result", Document, nullable=True),
        sa.Column("result_ms", sa.BigInteger(), nullable=True),
        sa.Column("result_sha256", sa.String(length=64), nullable=False),
        sa.Column("result_data", sa.LargeBinary(), nullable=True),
        sa.Column("published_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_interventions")),
    )
    op.create_index(op.f("ix_interventions_start"), "interventions", ["start"])
    op.create_table(
        "intervention_notes",
        sa.Column("id", BigId, nullable=False),
        sa.Column("intervention_id", BigId, nullable=False),
        sa.Column("phase", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("scores", Document, nullable=False),
        sa.Column("remarks", Document, nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["intervention_id"],
            ["interventions.id"],
            name=op.f("fk_intervention_notes_intervention_id_interventions"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intervention_notes")),
    )
    op.create_index(
        op.f("ix_intervention_notes_intervention_id"), "intervention_notes", ["intervention_id"]
    )
    op.create_table(
        "safety_walk_points",
        sa.Column("id", BigId, nullable=False),
        sa.Column("walk", sa.String(length=200), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("lon", sa.Double(), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("device_id", sa.String(length=200), nullable=False),
        sa.Column("distance_m", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_safety_walk_points")),
    )
    op.create_index(op.f("ix_safety_walk_points_walk"), "safety_walk_points", ["walk"])


def downgrade() -> None:
    op.drop_table("safety_walk_points")
    op.drop_table("intervention_notes")
    op.drop_table("interventions")
