"""A service's connections to its database: never more than allowed, and none left in a transaction by a lookup."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from chassis.db import Database, new_metadata
from chassis.errors import Unavailable
from chassis.settings import settings


@pytest.mark.parametrize("most", [2, 4, 9])
def test_transactions_and_lookups_together_open_no_more_connections_than_allowed(
    most: int, make_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_database("crowded")
    monkeypatch.setenv("DENDA_DATABASE_POOL", str(most))
    settings.cache_clear()
    database = Database("crowded", new_metadata())

    def transact(_: int) -> None:
        with database.transaction() as session:
            session.execute(text("SELECT pg_sleep(0.1)"))

    def look(_: int) -> None:
        database.lookup("SELECT CAST(pg_sleep(0.1) AS text)")

    try:
        with ThreadPoolExecutor(24) as pool:
            for kind in (transact, look):
                list(pool.map(kind, range(24)))
        # The server's own workers, like autovacuum's, are seen on the same database.
        query = """SELECT count(*), count(*) FILTER (WHERE state LIKE 'idle in%') FROM pg_stat_activity
            WHERE datname = 'crowded' AND backend_type = $1"""
        ((connections, unfinished),) = database.lookup(query, "client backend")
    finally:
        database.close()
    assert 2 <= connections <= most
    assert unfinished == 0


def test_a_lookup_whose_connection_was_ended_says_so_and_the_next_one_works(
    make_database: Callable[[str], str],
) -> None:
    make_database("ended")
    settings.cache_clear()
    database = Database("ended", new_metadata())
    try:
        ((pid,),) = database.lookup("SELECT pg_backend_pid()")
        with database.transaction() as session:
            session.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        with pytest.raises(Unavailable):
            database.lookup("SELECT 1")
        ((fresh,),) = database.lookup("SELECT pg_backend_pid()")
    finally:
        database.close()
    assert fresh != pid


def test_a_lookup_reads_what_sqlalchemy_reads(make_database: Callable[[str], str]) -> None:
    make_database("typed")
    settings.cache_clear()
    database = Database("typed", new_metadata())
    query = """SELECT 1, 'ñ', NULL, true, CAST('2026-03-29 01:30:00.25+01' AS timestamptz), ARRAY['a', '"b,'],
        CAST('{"ñ": [1, 2.5, null]}' AS jsonb), CAST(1.5 AS float8)"""
    try:
        with database.transaction() as session:
            (wanted,) = session.connection().exec_driver_sql(query).all()
        (found,) = database.lookup(query)
    finally:
        database.close()
    assert found == tuple(wanted)
