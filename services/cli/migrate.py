"""`denda migrate`: databases, tables and the first administrator."""

from collections.abc import Sequence

import click

from chassis import migrations
from chassis.service import Service
from services.cli import installation
from services.cli.catalogue import GRPC_SERVICES, services_named
from services.cli.screen import notes, out, step
from services.identity.models import database as identity_database
from services.identity.settings import identity_settings
from services.identity.users import ensure_admin


@click.command()
@click.argument("names", metavar="[SERVICE]…", nargs=-1, type=click.Choice(GRPC_SERVICES))
@click.option("--check", is_flag=True, help="Only say what is missing; exit code 1 when something is.")
def migrate(names: Sequence[str], *, check: bool) -> None:
    """Bring databases up to date: of the services named, or of all.

    Each service's migrations are one transaction, applied wholly or not at all. The first run on an empty identity
    database creates the administrator and shows the password, once.
    """
    services = services_named(names or GRPC_SERVICES)
    with installation.prepared():
        installation.require_own_databases(services)
        try:
            if check:
                _check(services)
            else:
                show_admin(brought_up_to_date(services))
        finally:
            for service in services:
                service.database.close()


def brought_up_to_date(services: Sequence[Service]) -> str | None:
    """Create and migrate the databases of these services; answers the first administrator's password, if made now."""
    installation.create_databases(services)
    for service in services:
        if missing := migrations.pending(service):
            with step(f"Migrating {service.name} to {missing[-1]}"):
                migrations.upgrade(service)
    if not any(service.name == "identity" for service in services):
        return None
    with identity_database.transaction() as session:
        return ensure_admin(session)


def show_admin(password: str | None) -> None:
    """Show the log-in of the administrator that was created just now; it is kept nowhere."""
    if password:
        out.print(f"Administrator: {identity_settings().admin_email}", markup=False)
        out.print(f"Password:      {password}   (shown only now; change it after the first log-in)", markup=False)


def _check(services: Sequence[Service]) -> None:
    behind = {service.name: missing for service in services if (missing := migrations.pending(service))}
    for name, missing in behind.items():
        out.print(f"{name}: lacks {', '.join(missing)}", markup=False)
    if behind:
        raise click.exceptions.Exit(1)
    notes.print("Every database is up to date.")
