"""Reading single rows on the hottest paths: prepared statements that go to libpq as they are.

A session with BEGIN and COMMIT takes ten times as long, and SQLAlchemy alone four times.
"""

from collections.abc import Callable, Sequence
from itertools import count
from json import JSONDecoder
from queue import Empty, SimpleQueue
from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult
from psycopg.types.json import set_json_loads

from chassis.errors import Unavailable

_DECODER = JSONDecoder()
# Seconds to wait for a connection while all are in use.
PATIENCE = 30.0
# The server keeps what is prepared for each connection.
MOST_PREPARED = 200


class Lookups:
    """At most so many connections to one database, which open no transactions; each is opened when it is needed."""

    def __init__(self, url: str, most: int, **options: Any) -> None:
        self._url = url
        self._options = options
        # The last one used comes first: what it needs is still at hand in both processes.
        self._idle: list[_Reader] = []
        self._places: SimpleQueue[None] = SimpleQueue()
        for _ in range(most):
            self._places.put(None)

    def rows(self, statement: str, parameters: Sequence[str]) -> list[tuple[Any, ...]]:
        """The rows of a statement. Raises psycopg.Error, and Unavailable when no connection becomes free."""
        return self._with_reader(lambda reader: reader.rows(statement, parameters))

    def planned(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of a statement whose parameters need not be texts. Raises as `rows` does."""
        return self._with_reader(lambda reader: reader.planned(statement, parameters))

    def _with_reader(self, read: Callable[["_Reader"], list[tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
        try:
            self._places.get(timeout=PATIENCE)
        except Empty:
            raise Unavailable("The database is busy; try again in a moment.") from None
        reader = None
        try:
            reader = self._reader()
            return read(reader)
        except psycopg.OperationalError:
            # A server that was restarted has ended all of them, so nobody else need find that out by failing.
            self.close()
            raise
        finally:
            if reader and not reader.is_lost():
                self._idle.append(reader)
            self._places.put(None)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    def _reader(self) -> "_Reader":
        try:
            return self._idle.pop()
        except IndexError:
            return _Reader(psycopg.connect(self._url, autocommit=True, **self._options))


class _Reader:
    """A connection, the statements that it has prepared and the types that it has met."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._server = connection.pgconn
        set_json_loads(_json, connection)
        self._typed = Transformer(connection)
        self._prepared: dict[str, bytes] = {}
        self._numbers = count()

    def rows(self, statement: str, parameters: Sequence[str]) -> list[tuple[Any, ...]]:
        return self._rows(statement, [parameter.encode() for parameter in parameters])

    def _rows(self, statement: str, parameters: Sequence[Buffer | None]) -> list[tuple[Any, ...]]:
        name = self._prepared.pop(statement, None) or self._prepare(statement)
        # The one that was used last is the last to be forgotten.
        self._prepared[statement] = name
        result = self._server.exec_prepared(name, parameters)  # type: ignore[arg-type]  # the stubs lack NULL
        self._require(result, ExecStatus.TUPLES_OK)
        self._typed.set_pgresult(result)
        return self._typed.load_rows(0, result.ntuples, tuple)

    def planned(self, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._rows(statement, self._typed.dump_sequence(parameters, [PyFormat.TEXT] * len(parameters)))

    def is_lost(self) -> bool:
        return self._connection.closed

    def close(self) -> None:
        self._connection.close()

    def _prepare(self, statement: str) -> bytes:
        if len(self._prepared) == MOST_PREPARED:
            oldest = next(iter(self._prepared))
            self._connection.execute(b"DEALLOCATE " + self._prepared.pop(oldest))
        name = f"lookup_{next(self._numbers)}".encode()
        self._require(self._server.prepare(name, statement.encode()), ExecStatus.COMMAND_OK)
        return name

    def _require(self, result: PGresult, wanted: ExecStatus) -> None:
        if result.status == wanted:
            return
        if self.is_lost():
            # Such a result has no SQLSTATE, by which psycopg would know what it is.
            raise psycopg.OperationalError("the connection was lost")
        raise error_from_result(result)


def _json(data: str | bytes) -> Any:
    """What PostgreSQL has written, so nothing is around it and the encoding is known."""
    return _DECODER.raw_decode(data if isinstance(data, str) else data.decode())[0]
