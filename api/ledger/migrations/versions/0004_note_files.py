"""files of what people noted of interventions

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "intervention_note_files",
        sa.Column("id", BigId, nullable=False),
        sa.Column("note_id", BigId, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("media_type", sa.String(length=120), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("author", sa.String(length=200), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["note_id"],
            ["intervention_notes.id"],
            name=op.f("fk_intervention_note_files_note_id_intervention_notes"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intervention_note_files")),
        sa.UniqueConstraint(
            "note_id", "sha256", name=op.f("uq_intervention_note_files_note_id_sha256")
        ),
    )


def downgrade() -> None:
    op.drop_table("intervention_note_files")
