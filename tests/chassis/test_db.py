"""A service's connections to its database: never more than allowed, and none left in a transaction by a lookup."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from chassis.db import Database, new_metadata
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
        query = (
            "SELECT count(*), count(*) FILTER (WHERE state LIKE 'idle in%') FROM pg_stat_activity WHERE datname = $1"
        )
        ((connections, unfinished),) = database.lookup(query, "crowded")
    finally:
        database.close()
    assert 2 <= connections <= most
    assert unfinished == 0
