"""`denda events dead`: what no attempt could handle, to look at, to try again or to forget."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import click
from rich.table import Column, Table

from chassis.bus import Bus
from services.cli import installation
from services.cli.catalogue import GRPC_SERVICES, services_named
from services.cli.screen import out


def queues() -> list[str]:
    """The queues of the services that listen to events."""
    return [f"{service.name}.events" for service in services_named(GRPC_SERVICES) if service.handlers]


def _known_queue(_context: click.Context, _parameter: click.Parameter, queue: str | None) -> str | None:
    if queue is not None and queue not in queues():
        raise click.BadParameter(f"There is no queue {queue}; there are: {', '.join(queues())}.")
    return queue


@click.group()
def events() -> None:
    """Look after the events between the services."""


@events.group()
def dead() -> None:
    """Events that failed at every attempt and wait for somebody to decide."""


@dead.command("list", short_help="List them, with the last error.")
@click.argument("queue", required=False, callback=_known_queue)
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, help="At most so many a queue. Default: 50.")
def list_dead(queue: str | None, limit: int) -> None:
    """List the oldest dead letters of QUEUE, or of all queues, with the last error."""
    table = Table("queue", Column("id", no_wrap=True), "type", "time", "error", box=None)
    with _connected() as bus:
        for name in [queue] if queue else queues():
            # A queue is made when its service first starts; making it now does no harm.
            bus.declare(name, [])
            for letter in bus.dead(name, limit):
                event = letter.envelope
                when = event.time.isoformat(timespec="seconds")
                table.add_row(name, str(event.id), event.type, when, letter.error)
    out.print(table if table.row_count else "There are no dead letters.")


@dead.command(short_help="Put them back as a first attempt.")
@click.argument("queue", callback=_known_queue)
@click.argument("ids", metavar="[ID]…", nargs=-1, type=click.UUID)
def replay(queue: str, ids: Sequence[UUID]) -> None:
    """Put dead letters of QUEUE back as a first attempt: those named, or all."""
    with _connected() as bus:
        out.print(f"{bus.replay(queue, ids or None)} put back into {queue}.")


@dead.command(short_help="Forget them for good.")
@click.argument("queue", callback=_known_queue)
@click.argument("ids", metavar="[ID]…", nargs=-1, type=click.UUID)
@click.option("--all", "everything", is_flag=True, help="Forget all of the queue.")
def drop(queue: str, ids: Sequence[UUID], *, everything: bool) -> None:
    """Forget dead letters of QUEUE for good: those named, or with --all every one."""
    if bool(ids) == everything:
        raise click.UsageError("Name the events to forget, or say --all.")
    with _connected() as bus:
        out.print(f"{bus.drop(queue, ids or None)} dropped from {queue}.")


@contextmanager
def _connected() -> Iterator[Bus]:
    with installation.prepared():
        bus = installation.bus()
        try:
            yield bus
        finally:
            bus.close()
