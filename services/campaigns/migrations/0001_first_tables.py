"""first tables"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "campaign",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("channel", sa.SmallInteger(), nullable=False),
        sa.Column("segment_id", sa.Uuid(), nullable=True),
        sa.Column("template_id", sa.Uuid(), nullable=True),
        sa.Column("template_version", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("reply_to", sa.Text(), nullable=False),
        sa.Column("schedule_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expire_after", sa.Interval(), nullable=True),
        sa.Column("track", sa.Boolean(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finish_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=True),
        sa.Column("launch_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("segment_filter", sa.Text(), nullable=True),
        sa.Column("merge_fields", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("audience_size", sa.BigInteger(), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=False),
        sa.Column("plan_cursor", sa.Uuid(), nullable=True),
        sa.Column("plan_fence", sa.BigInteger(), nullable=False),
        sa.Column("plan_leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("plan_claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("plan_finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("campaign_pkey")),
        sa.UniqueConstraint("request_id", name=op.f("campaign_request_id_key")),
    )
    op.create_index(
        "campaign_active_idx",
        "campaign",
        ["state", "schedule_time"],
        unique=False,
        postgresql_where=sa.text("state IN (2, 3, 4)"),
    )
    op.create_table(
        "inbox",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("inbox_pkey")),
    )
    op.create_index("inbox_received_at_idx", "inbox", ["received_at"], unique=False, postgresql_using="brin")
    op.create_table(
        "outbox",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("correlation_id", sa.Text(), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=False),
        sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("outbox_pkey")),
    )
    op.create_table(
        "recipient",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("step", sa.SmallInteger(), nullable=False),
        sa.Column("person_id", sa.Uuid(), nullable=False),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("address_digest", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("skip_reason", sa.SmallInteger(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("consent_id", sa.Uuid(), nullable=True),
        sa.Column("message_version", sa.Integer(), nullable=False),
        sa.Column("state_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("open_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("click_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("complaint_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("unsubscribe_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reply_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("machine_open_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("machine_click_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("forgotten_time", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("campaign_id", "step", "person_id", name=op.f("recipient_pkey")),
        postgresql_with={
            "autovacuum_vacuum_insert_scale_factor": 0,
            "autovacuum_vacuum_insert_threshold": 50_000,
            "autovacuum_vacuum_scale_factor": 0,
            "autovacuum_vacuum_threshold": 50_000,
        },
    )
    op.create_index(
        "recipient_address_key",
        "recipient",
        ["campaign_id", "step", "address_digest"],
        unique=True,
        postgresql_where=sa.text("address_digest IS NOT NULL"),
    )
    op.create_index(
        "recipient_engaged_idx",
        "recipient",
        ["campaign_id"],
        unique=False,
        postgresql_include=[
            "open_time",
            "click_time",
            "complaint_time",
            "unsubscribe_time",
            "reply_time",
            "machine_open_time",
        ],
        postgresql_where=sa.text(
            "coalesce(open_time, click_time, complaint_time, unsubscribe_time, reply_time, machine_open_time)"
            " IS NOT NULL"
        ),
    )
    op.create_index(
        "recipient_forgotten_idx",
        "recipient",
        ["campaign_id"],
        unique=False,
        postgresql_where=sa.text("forgotten_time IS NOT NULL AND address_digest IS NOT NULL"),
    )
    op.create_index(
        "recipient_message_id_key",
        "recipient",
        ["message_id"],
        unique=True,
        postgresql_where=sa.text("message_id IS NOT NULL"),
    )
    op.create_index(
        "recipient_state_idx",
        "recipient",
        ["campaign_id", "state", "person_id"],
        unique=False,
        postgresql_include=["skip_reason"],
    )
    op.create_table(
        "tracked_link",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("tracked_link_campaign_id_fkey")),
        sa.PrimaryKeyConstraint("campaign_id", "number", name=op.f("tracked_link_pkey")),
    )


def downgrade() -> None:
    op.drop_table("tracked_link")
    op.drop_index("recipient_state_idx", table_name="recipient", postgresql_include=["skip_reason"])
    op.drop_index(
        "recipient_message_id_key", table_name="recipient", postgresql_where=sa.text("message_id IS NOT NULL")
    )
    op.drop_index(
        "recipient_forgotten_idx",
        table_name="recipient",
        postgresql_where=sa.text("forgotten_time IS NOT NULL AND address_digest IS NOT NULL"),
    )
    op.drop_index(
        "recipient_engaged_idx",
        table_name="recipient",
        postgresql_include=[
            "open_time",
            "click_time",
            "complaint_time",
            "unsubscribe_time",
            "reply_time",
            "machine_open_time",
        ],
        postgresql_where=sa.text(
            "coalesce(open_time, click_time, complaint_time, unsubscribe_time, reply_time, machine_open_time)"
            " IS NOT NULL"
        ),
    )
    op.drop_index(
        "recipient_address_key", table_name="recipient", postgresql_where=sa.text("address_digest IS NOT NULL")
    )
    op.drop_table("recipient")
    op.drop_table("outbox")
    op.drop_index("inbox_received_at_idx", table_name="inbox", postgresql_using="brin")
    op.drop_table("inbox")
    op.drop_index("campaign_active_idx", table_name="campaign", postgresql_where=sa.text("state IN (2, 3, 4)"))
    op.drop_table("campaign")
