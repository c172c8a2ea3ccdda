"""Alembic's environment, the same for every service; `chassis.migrations` hands it the connection and the tables."""

from alembic import context
from sqlalchemy import text

# Two replicas that start together must not migrate together: the second waits here and then finds nothing to do.
LOCK = 0x64656E6461

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=context.config.attributes["metadata"],
    compare_server_default=True,
)
with context.begin_transaction():
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    context.run_migrations()
