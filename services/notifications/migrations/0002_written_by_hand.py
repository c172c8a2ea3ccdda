"""messages that were written by hand"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.alter_column("mailing", "template_id", existing_type=sa.Uuid(), nullable=True)
    op.add_column("message", sa.Column("content", postgresql.JSONB(), nullable=True))
    op.add_column("message", sa.Column("message_id_header", sa.Text(), nullable=True))
    op.create_index(
        "message_message_id_header_idx",
        "message",
        ["message_id_header"],
        unique=False,
        postgresql_where=sa.text("message_id_header IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("message_message_id_header_idx", table_name="message")
    op.drop_column("message", "message_id_header")
    op.drop_column("message", "content")
    op.execute("DELETE FROM mailing WHERE template_id IS NULL")
    op.alter_column("mailing", "template_id", existing_type=sa.Uuid(), nullable=False)
