"""lists with the most urgent first"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

URGENCY = sa.text("(4 - priority)")


def upgrade() -> None:
    op.create_index("ticket_urgency_idx", "ticket", [URGENCY, "last_message_time", "id"])
    op.create_index("ticket_queue_urgency_idx", "ticket", ["queue_id", "state", URGENCY, "last_message_time", "id"])


def downgrade() -> None:
    op.drop_index("ticket_queue_urgency_idx", table_name="ticket")
    op.drop_index("ticket_urgency_idx", table_name="ticket")
