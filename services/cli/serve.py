"""`denda serve`: some services in this process, in the roles asked for; what a container runs."""

from collections.abc import Sequence

import click

from chassis import client, telemetry
from chassis.auth import KeyRing
from chassis.runner import ROLES, Role, running, wait_for_signal
from services import PORTS, address
from services.cli import installation
from services.cli.catalogue import GATEWAY, edges_named, services_named
from services.cli.screen import notes
from services.cli.signals import stoppable


@click.command()
@click.argument("names", metavar="SERVICE…", nargs=-1, required=True, type=click.Choice(list(PORTS)))
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(ROLES),
    help="api answers calls, worker handles events and periodic work, relay publishes events. Default: all three.",
)
def serve(names: Sequence[str], roles: Sequence[Role]) -> None:
    """Run the services named, until SIGTERM or Ctrl-C.

    Services are identity, contacts, campaigns, support, notifications and gateway. Their databases must have been
    migrated. The gateway has only the role api.
    """
    roles = roles or ROLES
    installation.require_shared_keys()
    if set(names) == {GATEWAY}:
        _serve_gateway(roles)
        return
    with stoppable(), installation.prepared():
        telemetry.configure("-".join(names))
        if "api" in roles:
            installation.require_free_ports(names)
        services = services_named(names)
        installation.require_own_databases(services)
        edges = edges_named(names) if "api" in roles else []
        with running(services, installation.bus(), key_ring(), roles, edges):
            notes.print(f"Serving {', '.join(names)} as {', '.join(roles)}.", markup=False)
            wait_for_signal()


def _serve_gateway(roles: Sequence[Role]) -> None:
    """Run the gateway alone: it has no data, so neither a database nor the bus has to be there."""
    if "api" not in roles:
        raise click.UsageError("The gateway has only the role api.")
    with stoppable(), installation.with_keys():
        telemetry.configure(GATEWAY)
        (edge,) = edges_named([GATEWAY])
        try:
            edge.start()
            notes.print("Serving gateway as api.")
            wait_for_signal()
        finally:
            edge.stop()


def key_ring() -> KeyRing:
    """The public keys with which this process checks tokens, from identity wherever it runs."""
    return KeyRing(lambda: client.public_keys(address("identity")))
