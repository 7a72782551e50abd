"""first tables

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

BigId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Document = sa.JSON().with_variant(JSONB(), "postgresql")

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:  # noqa: PLR0915 - one statement a table
    op.create_table(
        "alert_recipients",
        sa.Column("id", BigId, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("channel", sa.String(length=40), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("rules", Document, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_recipients")),
        sa.UniqueConstraint("name", name=op.f("uq_alert_recipients_name")),
    )
    op.create_table(
        "assets",
        sa.Column("device_id", sa.String(length=200), nullable=False),
        sa.Column("luminaire_id", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("site", sa.String(length=200), nullable=False),
        sa.Column("segment", sa.String(length=200), nullable=False),
        sa.Column("segment_order", sa.Integer(), nullable=True),
        sa.Column("feeder", sa.String(length=200), nullable=False),
        sa.Column("cabinet", sa.String(length=200), nullable=False),
        sa.Column("gateway", sa.String(length=200), nullable=False),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("lon", sa.Double(), nullable=True),
        sa.Column("nominal_illuminance_lx", sa.Double(), nullable=True),
        sa.Column("switching", sa.String(length=40), nullable=True),
        sa.Column("dimming", sa.Text(), nullable=False),
        sa.Column("supply", sa.String(length=40), nullable=True),
        sa.Column("rated_power_w", sa.Double(), nullable=True),
        sa.Column("max_illuminance_lx", sa.Double(), nullable=True),
        sa.Column("resolution_lx", sa.Double(), nullable=True),
        sa.Column("interval_s", sa.Double(), nullable=True),
        sa.Column("location_category", sa.String(length=40), nullable=False),
        sa.Column("lighting_class", sa.String(length=40), nullable=False),
        sa.Column("place_kind", sa.String(length=40), nullable=False),
        sa.Column("area", sa.String(length=200), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_assets")),
    )
    with op.batch_alter_table("assets", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_assets_area"), ["area"], unique=False)
        batch_op.create_index(batch_op.f("ix_assets_cabinet"), ["cabinet"], unique=False)
        batch_op.create_index(batch_op.f("ix_assets_feeder"), ["feeder"], unique=False)
        batch_op.create_index(batch_op.f("ix_assets_luminaire_id"), ["luminaire_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_assets_segment"), ["segment"], unique=False)
        batch_op.create_index(batch_op.f("ix_assets_site"), ["site"], unique=False)

    op.create_table(
        "audit",
        sa.Column("id", BigId, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("action", sa.String(length=200), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("details", Document, nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_at_ms"), ["at_ms"], unique=False)

    op.create_table(
        "device_history",
        sa.Column("id", BigId, nullable=False),
        sa.Column("device_id", sa.String(length=200), nullable=False),
        sa.Column("luminaire_id", sa.String(length=200), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_device_history")),
    )
    with op.batch_alter_table("device_history", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_device_history_device_id"), ["device_id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_device_history_luminaire_id"), ["luminaire_id"], unique=False
        )

    op.create_table(
        "facts",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_facts")),
    )
    op.create_table(
        "idempotency",
        sa.Column("principal", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("request_digest", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("principal", "key", name=op.f("pk_idempotency")),
    )
    with op.batch_alter_table("idempotency", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_idempotency_at_ms"), ["at_ms"], unique=False)

    op.create_table(
        "incidents",
        sa.Column("id", BigId, nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("cause_kind", sa.String(length=40), nullable=False),
        sa.Column("cause_id", sa.String(length=200), nullable=False),
        sa.Column("severity", sa.String(length=40), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=True),
        sa.Column("raised_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("members", sa.Integer(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("confirmed", sa.Boolean(), nullable=False),
        sa.Column("area", sa.String(length=200), nullable=False),
        sa.Column("site", sa.String(length=200), nullable=False),
        sa.Column("merged_into", BigId, nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["merged_into"], ["incidents.id"], name=op.f("fk_incidents_merged_into_incidents")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
        sa.UniqueConstraint("key", name=op.f("uq_incidents_key")),
    )
    with op.batch_alter_table("incidents", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_incidents_cause_id"), ["cause_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_incidents_state"), ["state"], unique=False)

    op.create_table(
        "luminaire_states",
        sa.Column("device_id", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("observed_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_known", sa.String(length=40), nullable=True),
        sa.Column("reason", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_luminaire_states")),
    )
    with op.batch_alter_table("luminaire_states", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_luminaire_states_state"), ["state"], unique=False)

    op.create_table(
        "maintenance",
        sa.Column("id", BigId, nullable=False),
        sa.Column("device_id", sa.String(length=200), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_maintenance")),
        sa.UniqueConstraint(
            "device_id", "time_ms", "action", name=op.f("uq_maintenance_device_id_time_ms_action")
        ),
    )
    with op.batch_alter_table("maintenance", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_maintenance_device_id"), ["device_id"], unique=False)

    op.create_table(
        "planned_work",
        sa.Column("id", BigId, nullable=False),
        sa.Column("cause_kind", sa.String(length=40), nullable=False),
        sa.Column("cause_id", sa.String(length=200), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("checked_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_planned_work")),
    )
    with op.batch_alter_table("planned_work", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_planned_work_until_ms"), ["until_ms"], unique=False)

    op.create_table(
        "stream_events",
        sa.Column("id", BigId, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("area", sa.String(length=200), nullable=False),
        sa.Column("content", Document, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stream_events")),
    )
    op.create_table(
        "users",
        sa.Column("id", BigId, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("roles", Document, nullable=False),
        sa.Column("areas", Document, nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("oidc_subject", sa.String(length=200), nullable=True),
        sa.Column("language", sa.String(length=40), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("failed_logins", sa.Integer(), nullable=False),
        sa.Column("locked_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("calendar_digest", sa.String(length=64), nullable=True),
        sa.Column("link_digest", sa.String(length=64), nullable=True),
        sa.Column("link_until_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("calendar_digest", name=op.f("uq_users_calendar_digest")),
        sa.UniqueConstraint("link_digest", name=op.f("uq_users_link_digest")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
        sa.UniqueConstraint("oidc_subject", name=op.f("uq_users_oidc_subject")),
    )
    op.create_table(
        "api_keys",
        sa.Column("public_id", sa.String(length=40), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("roles", Document, nullable=False),
        sa.Column("areas", Document, nullable=False),
        sa.Column("user_id", BigId, nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=True),
        sa.Column("last_used_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_api_keys_user_id_users")),
        sa.PrimaryKeyConstraint("public_id", name=op.f("pk_api_keys")),
    )
    op.create_table(
        "findings",
        sa.Column("id", BigId, nullable=False),
        sa.Column("incident_id", BigId, nullable=False),
        sa.Column("incident_key", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("device_id", sa.String(length=200), nullable=False),
        sa.Column("luminaire_id", sa.String(length=200), nullable=False),
        sa.Column("cause_kind", sa.String(length=40), nullable=False),
        sa.Column("cause_id", sa.String(length=200), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=True),
        sa.Column("raised_ms", sa.BigInteger(), nullable=False),
        sa.Column("severity", sa.String(length=40), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("evidence", Document, nullable=False),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incidents.id"], name=op.f("fk_findings_incident_id_incidents")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_findings")),
        sa.UniqueConstraint(
            "incident_id", "device_id", "kind", name=op.f("uq_findings_incident_id_device_id_kind")
        ),
    )
    with op.batch_alter_table("findings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_findings_incident_id"), ["incident_id"], unique=False)
        batch_op.create_index("ix_findings_open_device", ["device_id", "end_ms"], unique=False)
        batch_op.create_index(batch_op.f("ix_findings_start_ms"), ["start_ms"], unique=False)

    op.create_table(
        "incident_timeline",
        sa.Column("id", BigId, nullable=False),
        sa.Column("incident_id", BigId, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("what", sa.String(length=40), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["incident_id"],
            ["incidents.id"],
            name=op.f("fk_incident_timeline_incident_id_incidents"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incident_timeline")),
    )
    with op.batch_alter_table("incident_timeline", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_incident_timeline_incident_id"), ["incident_id"], unique=False
        )

    op.create_table(
        "sessions",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("user_id", BigId, nullable=False),
        sa.Column("csrf", sa.String(length=64), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id_users")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_sessions")),
    )
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_sessions_user_id"), ["user_id"], unique=False)

    op.create_table(
        "work_orders",
        sa.Column("id", BigId, nullable=False),
        sa.Column("incident_id", BigId, nullable=True),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("crew", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("cause_kind", sa.String(length=40), nullable=False),
        sa.Column("cause_id", sa.String(length=200), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("members", sa.Integer(), nullable=False),
        sa.Column("from_findings", sa.Boolean(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("area", sa.String(length=200), nullable=False),
        sa.Column("site", sa.String(length=200), nullable=False),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("lon", sa.Double(), nullable=True),
        sa.Column("assignee", sa.String(length=200), nullable=False),
        sa.Column("budget_account", sa.String(length=40), nullable=False),
        sa.Column("cost", sa.Double(), nullable=True),
        sa.Column("priority", sa.String(length=40), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("rule_id", sa.String(length=200), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("exposure", sa.Double(), nullable=True),
        sa.Column("detected_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("first_action_due_ms", sa.BigInteger(), nullable=True),
        sa.Column("repaired_due_ms", sa.BigInteger(), nullable=True),
        sa.Column("due_ms", sa.BigInteger(), nullable=False),
        sa.Column("first_action_ms", sa.BigInteger(), nullable=True),
        sa.Column("done_ms", sa.BigInteger(), nullable=True),
        sa.Column("closed_ms", sa.BigInteger(), nullable=True),
        sa.Column("verification", sa.String(length=40), nullable=True),
        sa.Column("waiting_for", sa.String(length=40), nullable=True),
        sa.Column("rejection", sa.String(length=40), nullable=True),
        sa.Column("owner", sa.String(length=200), nullable=False),
        sa.Column("duplicate_of", BigId, nullable=True),
        sa.Column("times_reopened", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["duplicate_of"],
            ["work_orders.id"],
            name=op.f("fk_work_orders_duplicate_of_work_orders"),
        ),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incidents.id"], name=op.f("fk_work_orders_incident_id_incidents")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_orders")),
        sa.UniqueConstraint("incident_id", name=op.f("uq_work_orders_incident_id")),
    )
    with op.batch_alter_table("work_orders", schema=None) as batch_op:
        batch_op.create_index(
            "ix_work_orders_area", ["area", "is_open", "rank", "due_ms", "id"], unique=False
        )
        batch_op.create_index(
            "ix_work_orders_assignee", ["assignee", "is_open", "rank", "due_ms", "id"], unique=False
        )
        batch_op.create_index(
            "ix_work_orders_board", ["is_open", "rank", "due_ms", "id"], unique=False
        )
        batch_op.create_index("ix_work_orders_all", ["rank", "due_ms", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_work_orders_cause_id"), ["cause_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_work_orders_site"), ["site"], unique=False)
        batch_op.create_index(
            "ix_work_orders_state", ["state", "rank", "due_ms", "id"], unique=False
        )

    op.create_table(
        "alert_matters",
        sa.Column("id", BigId, nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("order_id", BigId, nullable=True),
        sa.Column("area", sa.String(length=200), nullable=False),
        sa.Column("crew", sa.String(length=40), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("content", Document, nullable=False),
        sa.Column("planned", sa.Boolean(), nullable=False),
        sa.Column("acknowledged_ms", sa.BigInteger(), nullable=True),
        sa.Column("acknowledged_by", sa.String(length=200), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["work_orders.id"], name=op.f("fk_alert_matters_order_id_work_orders")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_matters")),
        sa.UniqueConstraint("key", name=op.f("uq_alert_matters_key")),
    )
    with op.batch_alter_table("alert_matters", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_alert_matters_order_id"), ["order_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_alert_matters_planned"), ["planned"], unique=False)

    op.create_table(
        "attachments",
        sa.Column("id", BigId, nullable=False),
        sa.Column("order_id", BigId, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("media_type", sa.String(length=40), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["work_orders.id"], name=op.f("fk_attachments_order_id_work_orders")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attachments")),
        sa.UniqueConstraint("order_id", "sha256", name=op.f("uq_attachments_order_id_sha256")),
    )
    op.create_table(
        "case_links",
        sa.Column("order_id", BigId, nullable=False),
        sa.Column("system", sa.String(length=40), nullable=False),
        sa.Column("remote_id", sa.String(length=200), nullable=True),
        sa.Column("remote_status", sa.String(length=40), nullable=False),
        sa.Column("remote_updated_ms", sa.BigInteger(), nullable=True),
        sa.Column("pushed_version", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before_ms", sa.BigInteger(), nullable=False),
        sa.Column("claimed_by", sa.String(length=200), nullable=False),
        sa.Column("claimed_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"], ["work_orders.id"], name=op.f("fk_case_links_order_id_work_orders")
        ),
        sa.PrimaryKeyConstraint("order_id", "system", name=op.f("pk_case_links")),
    )
    op.create_table(
        "service_requests",
        sa.Column("id", BigId, nullable=False),
        sa.Column("service_code", sa.String(length=40), nullable=False),
        sa.Column("status", sa.String(length=40), nullable=False),
        sa.Column("status_notes", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("lat", sa.Double(), nullable=True),
        sa.Column("lon", sa.Double(), nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("requested_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.Column("reference", sa.String(length=200), nullable=True),
        sa.Column("luminaire_id", sa.String(length=200), nullable=True),
        sa.Column("order_id", BigId, nullable=True),
        sa.Column("duplicate_of", BigId, nullable=True),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("match_distance_m", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["duplicate_of"],
            ["service_requests.id"],
            name=op.f("fk_service_requests_duplicate_of_service_requests"),
        ),
        sa.ForeignKeyConstraint(
            ["order_id"], ["work_orders.id"], name=op.f("fk_service_requests_order_id_work_orders")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_requests")),
        sa.UniqueConstraint("reference", name=op.f("uq_service_requests_reference")),
    )
    with op.batch_alter_table("service_requests", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_service_requests_order_id"), ["order_id"], unique=False
        )
        batch_op.create_index("ix_service_requests_time", ["requested_ms", "id"], unique=False)

    op.create_table(
        "work_order_history",
        sa.Column("id", BigId, nullable=False),
        sa.Column("order_id", BigId, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("details", Document, nullable=False),
        sa.Column("idempotency_key", sa.String(length=200), nullable=True),
        sa.ForeignKeyConstraint(
            ["order_id"],
            ["work_orders.id"],
            name=op.f("fk_work_order_history_order_id_work_orders"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_order_history")),
        sa.UniqueConstraint("idempotency_key", name=op.f("uq_work_order_history_idempotency_key")),
        sa.UniqueConstraint(
            "order_id", "version", name=op.f("uq_work_order_history_order_id_version")
        ),
    )
    op.create_table(
        "work_order_members",
        sa.Column("order_id", BigId, nullable=False),
        sa.Column("device_id", sa.String(length=200), nullable=False),
        sa.Column("luminaire_id", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("start_ms", sa.BigInteger(), nullable=False),
        sa.Column("end_ms", sa.BigInteger(), nullable=True),
        sa.Column("by_hand", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["order_id"],
            ["work_orders.id"],
            name=op.f("fk_work_order_members_order_id_work_orders"),
        ),
        sa.PrimaryKeyConstraint("order_id", "device_id", name=op.f("pk_work_order_members")),
    )
    op.create_table(
        "work_order_pauses",
        sa.Column("id", BigId, nullable=False),
        sa.Column("order_id", BigId, nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["order_id"], ["work_orders.id"], name=op.f("fk_work_order_pauses_order_id_work_orders")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_work_order_pauses")),
    )
    with op.batch_alter_table("work_order_pauses", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_work_order_pauses_order_id"), ["order_id"], unique=False
        )

    op.create_table(
        "alert_deliveries",
        sa.Column("id", BigId, nullable=False),
        sa.Column("matter_id", BigId, nullable=False),
        sa.Column("recipient_id", BigId, nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("not_before_ms", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("claimed_by", sa.String(length=200), nullable=False),
        sa.Column("claimed_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("sent_ms", sa.BigInteger(), nullable=True),
        sa.Column("bundle", sa.String(length=40), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["matter_id"],
            ["alert_matters.id"],
            name=op.f("fk_alert_deliveries_matter_id_alert_matters"),
        ),
        sa.ForeignKeyConstraint(
            ["recipient_id"],
            ["alert_recipients.id"],
            name=op.f("fk_alert_deliveries_recipient_id_alert_recipients"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_deliveries")),
        sa.UniqueConstraint(
            "matter_id",
            "recipient_id",
            "step",
            name=op.f("uq_alert_deliveries_matter_id_recipient_id_step"),
        ),
    )
    with op.batch_alter_table("alert_deliveries", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_alert_deliveries_bundle"), ["bundle"], unique=False)
        batch_op.create_index(
            "ix_alert_deliveries_due", ["state", "not_before_ms", "id"], unique=False
        )

    guard_audit()


def downgrade() -> None:  # noqa: PLR0915 - one statement a table
    release_audit()
    with op.batch_alter_table("alert_deliveries", schema=None) as batch_op:
        batch_op.drop_index("ix_alert_deliveries_due")
        batch_op.drop_index(batch_op.f("ix_alert_deliveries_bundle"))

    op.drop_table("alert_deliveries")
    with op.batch_alter_table("work_order_pauses", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_work_order_pauses_order_id"))

    op.drop_table("work_order_pauses")
    op.drop_table("work_order_members")
    op.drop_table("work_order_history")
    with op.batch_alter_table("service_requests", schema=None) as batch_op:
        batch_op.drop_index("ix_service_requests_time")
        batch_op.drop_index(batch_op.f("ix_service_requests_order_id"))

    op.drop_table("service_requests")
    op.drop_table("case_links")
    op.drop_table("attachments")
    with op.batch_alter_table("alert_matters", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_alert_matters_planned"))
        batch_op.drop_index(batch_op.f("ix_alert_matters_order_id"))

    op.drop_table("alert_matters")
    with op.batch_alter_table("work_orders", schema=None) as batch_op:
        batch_op.drop_index("ix_work_orders_state")
        batch_op.drop_index(batch_op.f("ix_work_orders_site"))
        batch_op.drop_index(batch_op.f("ix_work_orders_cause_id"))
        batch_op.drop_index("ix_work_orders_board")
        batch_op.drop_index("ix_work_orders_all")
        batch_op.drop_index("ix_work_orders_assignee")
        batch_op.drop_index("ix_work_orders_area")

    op.drop_table("work_orders")
    with op.batch_alter_table("sessions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_sessions_user_id"))

    op.drop_table("sessions")
    with op.batch_alter_table("incident_timeline", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_incident_timeline_incident_id"))

    op.drop_table("incident_timeline")
    with op.batch_alter_table("findings", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_findings_start_ms"))
        batch_op.drop_index("ix_findings_open_device")
        batch_op.drop_index(batch_op.f("ix_findings_incident_id"))

    op.drop_table("findings")
    op.drop_table("api_keys")
    op.drop_table("users")
    op.drop_table("stream_events")
    with op.batch_alter_table("planned_work", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_planned_work_until_ms"))

    op.drop_table("planned_work")
    with op.batch_alter_table("maintenance", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_maintenance_device_id"))

    op.drop_table("maintenance")
    with op.batch_alter_table("luminaire_states", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_luminaire_states_state"))

    op.drop_table("luminaire_states")
    with op.batch_alter_table("incidents", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_incidents_state"))
        batch_op.drop_index(batch_op.f("ix_incidents_cause_id"))

    op.drop_table("incidents")
    with op.batch_alter_table("idempotency", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_idempotency_at_ms"))

    op.drop_table("idempotency")
    op.drop_table("facts")
    with op.batch_alter_table("device_history", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_device_history_luminaire_id"))
        batch_op.drop_index(batch_op.f("ix_device_history_device_id"))

    op.drop_table("device_history")
    with op.batch_alter_table("audit", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_audit_at_ms"))

    op.drop_table("audit")
    with op.batch_alter_table("assets", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_assets_site"))
        batch_op.drop_index(batch_op.f("ix_assets_segment"))
        batch_op.drop_index(batch_op.f("ix_assets_luminaire_id"))
        batch_op.drop_index(batch_op.f("ix_assets_feeder"))
        batch_op.drop_index(batch_op.f("ix_assets_cabinet"))
        batch_op.drop_index(batch_op.f("ix_assets_area"))

    op.drop_table("assets")
    op.drop_table("alert_recipients")


def guard_audit() -> None:
    """Rows of the audit log cannot be changed or removed, whoever asks."""
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON audit "
                "BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION audit_is_kept() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit log is only added to'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_is_kept()"
    )


def release_audit() -> None:
    """Before the table goes."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER audit_kept ON audit")
        op.execute("DROP FUNCTION audit_is_kept()")
