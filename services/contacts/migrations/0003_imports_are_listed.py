"""imports are listed"""

from collections.abc import Sequence

from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_index("import_newest_idx", "import", ["create_time", "id"], unique=False)


def downgrade() -> None:
    op.drop_index("import_newest_idx", table_name="import")
