"""lists know which tickets have participants"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.add_column("ticket", sa.Column("accompanied", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.execute("UPDATE ticket SET accompanied = true WHERE id IN (SELECT ticket_id FROM ticket_participant)")


def downgrade() -> None:
    op.drop_column("ticket", "accompanied")
