"""A consumer that is killed after its transaction has committed and before the bus is told.

Arguments: the service's name and the bus's URL. Its handler writes an event's id into the table `effects`.
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import column, insert, table
from sqlalchemy.orm import Session

from chassis.bus import Delivery, connect
from chassis.db import Database, new_metadata
from chassis.inbox import Consumer
from chassis.service import Service
from denda.contacts.v1.events_pb2 import PersonDeleted


def write_effects(session: Session, events: Sequence[PersonDeleted]) -> None:
    """One row for each time that an event takes effect."""
    session.execute(insert(table("effects", column("id"))), [{"id": event.person_id} for event in events])


def a_service(name: str, database: Database) -> Service:
    """A service that only listens."""
    return Service(
        name=name,
        port=0,
        database=database,
        migrations=Path(),
        contracts=(),
        doors=(),
        handlers={PersonDeleted: write_effects},
    )


class DyingConsumer(Consumer):
    """Dies between the commit and the acknowledgement."""

    def handle(self, deliveries: list[Delivery]) -> None:
        super().handle(deliveries)
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    name, url = sys.argv[1:]
    DyingConsumer(a_service(name, Database(name, new_metadata())), connect(url)).run(threading.Event())
