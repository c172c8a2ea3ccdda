"""Services in this process behind their real gRPC doors, on real migrated databases that each test finds fresh."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import grpc
from sqlalchemy import Table, exists, insert, select, text
from sqlalchemy.orm import Session

from chassis import client, migrations
from chassis.events import message_class
from chassis.outbox import outbox
from chassis.server import bind, build_server
from chassis.service import Service
from services import address, port
from tests.kit.tokens import a_token, trusting

Stub = TypeVar("Stub")
Rows = list[dict[str, Any]]


def service_named(name: str) -> Service:
    """The wiring of a service, `services/<name>/service.py`."""
    built: Service = importlib.import_module(f"services.{name}.service").SERVICE
    return built


class Doors:
    """Services that are open, each on its own port of this test run."""

    def __init__(self, make_database: Callable[[str], str]) -> None:
        self._make_database = make_database
        self._migrated: dict[str, Mapping[Table, Rows]] = {}
        self._servers: dict[str, grpc.Server] = {}

    def migrated(self, name: str) -> Service:
        """The service with its database at the newest revision, made at first use; nothing listens."""
        service = service_named(name)
        if name not in self._migrated:
            service.database.close()
            self._make_database(name)
            migrations.upgrade(service)
            if name == "identity":
                _make_signing_key(service)
            # Some tables are filled by migrations; each test finds them so.
            with service.database.transaction() as session:
                tables = service.database.metadata.sorted_tables
                self._migrated[name] = {table: _rows(session, table) for table in tables}
        return service

    def open(self, *names: str) -> None:
        """Open the doors of the named services, and of identity, which every other one asks for keys."""
        for name in ("identity", *names):
            if name in self._servers:
                continue
            service = self.migrated(name)
            server, _ = build_server(service, trusting(lambda: client.public_keys(address("identity"))))
            bind(server, f"127.0.0.1:{port(name)}")
            server.start()
            self._servers[name] = server
            # A channel that has found nobody there would not look again for a while.
            client.forget_channels()

    def stub(self, kind: Callable[[grpc.Channel], Stub], service: str, *roles: str) -> Stub:
        """A generated stub that speaks with a token of the roles; with none it sends no token."""
        plain = client.plain_channel(address(service))
        return kind(client.speaking_with(plain, lambda: a_token(*roles)) if roles else plain)

    def events(self, service: str) -> list[Any]:
        """The events that wait in a service's outbox, decoded, in the order in which they were recorded."""
        with service_named(service).database.transaction() as session:
            rows = session.execute(select(outbox.c.type, outbox.c.body).order_by(outbox.c.seq)).all()
        return [message_class(row.type).FromString(row.body) for row in rows]

    def clean(self) -> None:
        """Give every database the rows back that it had when it was migrated."""
        for name, rows in self._migrated.items():
            with service_named(name).database.transaction() as session:
                _give_back(session, rows)

    def close(self) -> None:
        """Close all doors and databases."""
        for closed in [server.stop(1) for server in self._servers.values()]:
            closed.wait()
        client.forget_channels()
        for name in self._migrated:
            service_named(name).database.close()


def _rows(session: Session, table: Table) -> Rows:
    return [dict(row) for row in session.execute(select(table)).mappings()]


def _give_back(session: Session, first: Mapping[Table, Rows]) -> None:
    """Give the tables their first rows back; those that nobody wrote to stay as they are, for emptying one is slow."""
    filled = session.execute(select(*(exists().select_from(table).label(table.name) for table in first))).one()
    given = {table for table, rows in first.items() if rows}
    there = {table for table, some in zip(first, filled, strict=True) if some}
    if there == given and all(_rows(session, table) == first[table] for table in given):
        return
    names = ", ".join(f'"{table.name}"' for table in there | given)
    session.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
    for table, rows in first.items():
        if rows:
            session.execute(insert(table), rows)


def _make_signing_key(identity: Service) -> None:
    """Make the key before the first test, since doors and channels remember what it signed from one to the next."""
    from services.identity.signing_keys import active_key

    with identity.database.transaction() as session:
        active_key(session)
