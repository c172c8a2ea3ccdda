"""groups are handed over whole"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    # What a sender left behind that had not begun it is not in doubt.
    op.execute("UPDATE outgoing SET claim = NULL, lease_until = NULL WHERE claim IS NOT NULL AND NOT handed")
    op.drop_column("outgoing", "outcome")
    op.drop_column("outgoing", "handed")


def downgrade() -> None:
    op.add_column("outgoing", sa.Column("handed", sa.Boolean(), server_default=sa.text("false"), nullable=False))
    op.add_column("outgoing", sa.Column("outcome", postgresql.JSONB(astext_type=sa.Text()), nullable=True))
    op.execute("UPDATE outgoing SET handed = true WHERE claim IS NOT NULL")
