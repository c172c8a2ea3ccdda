"""tickets on timelines"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_index(
        "activity_ticket_idx", "activity", ["id"], unique=False, postgresql_where=sa.text("kind = 'ticket'")
    )


def downgrade() -> None:
    op.drop_index("activity_ticket_idx", table_name="activity")
