"""What a service is made of, as plain data; `services/<name>/service.py` fills it in and the runner starts it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

from google.protobuf.message import Message
from sqlalchemy.orm import Session

from chassis.db import Database

# Effects of events of one type, all in the session's transaction.
Handler = Callable[[Session, Sequence[Any]], None]


@dataclass(frozen=True)
class Loop:
    """Work that is always there: `step` says True when there may be more at once, else it rests for `idle`.

    `when` is a statement that answers a row while there is something to do; it is asked before each step, since most
    find nothing and a transaction costs ten times as much. Every step must be safe to run in several replicas and,
    with `copies`, in several threads.
    """

    name: str
    step: Callable[[], bool | None]
    idle: timedelta = timedelta(seconds=1)
    copies: int = 1
    when: str = ""


@dataclass(frozen=True)
class Service:
    """One service: its doors (gRPC, events, clock) and its tables."""

    name: str
    port: int
    database: Database
    migrations: Path
    # The `*_service_pb2` modules, for reflection and for the access that each RPC declares.
    contracts: Sequence[ModuleType]
    # Pairs of `add_…Servicer_to_server` and the servicer.
    doors: Sequence[tuple[Callable[[Any, Any], None], object]]
    handlers: Mapping[type[Message], Handler] = field(default_factory=dict)
    loops: Sequence[Loop] = ()

    def rpc_services(self) -> list[str]:
        """Full names of the gRPC services, `denda.contacts.v1.PeopleService`."""
        return [
            service.full_name
            for contract in self.contracts
            for service in contract.DESCRIPTOR.services_by_name.values()
        ]
