"""Migrations: each service has its own, in `services/<name>/migrations/`, all run by one Alembic environment.

An upgrade is one transaction: it happens wholly or not at all. A service with missing migrations does not start.
They expand first and contract a release later, so a database that is newer than the code is served all the same.
"""

from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import Connection

from chassis.errors import FailedPrecondition
from chassis.service import Service

ENVIRONMENT = Path(__file__).parent / "alembic"


class MigrationsPending(FailedPrecondition):
    """The database lacks migrations that this code needs."""

    reason = "MIGRATIONS_PENDING"


def upgrade(service: Service) -> list[str]:
    """Bring the service's database to the newest revision; answers the revisions that were applied."""
    missing = pending(service)
    with service.database.engine.begin() as connection:
        command.upgrade(_config(service, connection), "heads")
    return missing


def pending(service: Service) -> list[str]:
    """Revisions that the database lacks, oldest first."""
    with service.database.engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_heads()
    scripts = ScriptDirectory.from_config(_config(service))
    try:
        missing = list(scripts.iterate_revisions("heads", current or "base"))
    except (ResolutionError, CommandError):
        # The database knows a revision that this code does not: a newer release has migrated it.
        return []
    return [script.revision for script in reversed(missing)]


def require_current(service: Service) -> None:
    """Raises MigrationsPending when the database lacks a migration."""
    if missing := pending(service):
        raise MigrationsPending(
            f"The database of {service.name} lacks migrations ({', '.join(missing)}); run `denda migrate`.",
            subject=service.name,
        )


def differences(service: Service) -> list[Any]:
    """What the models say and a migrated database does not, in the terms of Alembic's compare_metadata."""
    with service.database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return list(compare_metadata(context, service.database.metadata))


def write_revision(service: Service, message: str) -> Path:
    """Write the next migration from the differences between the models and an upgraded database."""
    upgrade(service)
    with service.database.engine.begin() as connection:
        config = _config(service, connection)
        head = ScriptDirectory.from_config(config).get_current_head() or "0000"
        made = command.revision(config, message, autogenerate=True, rev_id=f"{int(head) + 1:04d}")
    if made is None or isinstance(made, list):
        raise AssertionError("Alembic answers one script for one revision")
    return Path(made.path)


def _config(service: Service, connection: Connection | None = None) -> Config:
    config = Config()
    for option, value in {
        "script_location": str(ENVIRONMENT),
        "version_locations": str(service.migrations),
        "path_separator": "os",
        "file_template": "%%(rev)s_%%(slug)s",
    }.items():
        config.set_main_option(option, value)
    config.attributes |= {"connection": connection, "metadata": service.database.metadata}
    return config
