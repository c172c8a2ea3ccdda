"""participants are looked up once"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column(
        "ticket_participant", sa.Column("looked_up", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.create_index(
        "ticket_participant_unknown_idx",
        "ticket_participant",
        ["ticket_id"],
        postgresql_where=sa.text("person_id IS NULL AND NOT looked_up"),
    )


def downgrade() -> None:
    op.drop_index("ticket_participant_unknown_idx", table_name="ticket_participant")
    op.drop_column("ticket_participant", "looked_up")
