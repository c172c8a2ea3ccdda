"""`denda up`: everything in one process, for a first look, for development and for a small shop."""

import os
import subprocess
import sys
from contextlib import ExitStack

import click

from chassis import telemetry
from chassis.runner import running, wait_for_signal
from chassis.settings import settings
from services import PORTS
from services.cli import installation, welcome
from services.cli.catalogue import GRPC_SERVICES, edges_named, services_named
from services.cli.migrate import brought_up_to_date
from services.cli.screen import notes
from services.cli.serve import key_ring
from services.cli.signals import stoppable

DEMO_HELP = "Load the demo at the first start. Default: yes on the embedded database, no with DENDA_DATABASE_URL."


@click.command()
@click.option("--demo/--no-demo", default=None, help=DEMO_HELP)
def up(*, demo: bool | None) -> None:
    """Start everything in this process, until Ctrl-C.

    Without settings that is an embedded PostgreSQL in .denda, which carries the bus too, and sandbox providers:
    nothing leaves the machine. DENDA_DATABASE_URL and DENDA_BUS_URL point it at your own servers.
    """
    # The terminal belongs to the person in front of it; who wants the log asks for it.
    os.environ.setdefault("DENDA_LOG_LEVEL", "warning")
    settings.cache_clear()
    wants_demo = demo if demo is not None else not settings().database_url
    with ExitStack() as ended, stoppable(), installation.prepared(alone=True):
        telemetry.configure("up")
        installation.require_free_ports(list(PORTS))
        services = services_named(GRPC_SERVICES)
        installation.require_own_databases(services)
        password = brought_up_to_date(services)
        notes.print("Starting the services …")
        with running(services, installation.bus(), key_ring(), edges=edges_named(list(PORTS))):
            ended.callback(notes.print, "Stopped.")
            welcome.show_addresses(password)
            if wants_demo:
                _load_demo(first_start=password is not None)
            welcome.show_next(with_demo=wants_demo)
            wait_for_signal()
            notes.print("Stopping: what is under way is finished or released …")


def _load_demo(*, first_start: bool) -> None:
    """Load the demo into a new installation, or finish loading it where that was interrupted.

    In a process of its own: reading the purchases takes half a gigabyte, which this process would keep.
    """
    unfinished = settings().data_dir / "demo.unfinished"
    if not (first_start or unfinished.exists()):
        return
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    unfinished.touch()
    notes.print("\nLoading the demo, which takes about a minute; `denda up --no-demo` starts without it.")
    with subprocess.Popen([sys.executable, "-m", "services.cli", "demo"]) as loading:
        try:
            failed = loading.wait()
        finally:
            loading.terminate()
    if failed:
        notes.print("The demo is not complete, which harms nothing else. `denda demo` tries again.")
    else:
        unfinished.unlink()
