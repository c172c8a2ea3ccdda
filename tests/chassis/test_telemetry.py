"""Logs tell what failed and where, and no values of anybody's."""

import json
from collections.abc import Callable

import psycopg
import pytest
import structlog

from chassis import telemetry
from chassis.settings import settings


@pytest.mark.parametrize("log_format", ["console", "json"])
@pytest.mark.parametrize("name", ["Ane Etxeberria", "Ane\nEtxeberria"])
def test_the_row_that_postgresql_refused_is_not_quoted(
    make_database: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    log_format: str,
    name: str,
) -> None:
    monkeypatch.setenv("DENDA_LOG_FORMAT", log_format)
    settings.cache_clear()
    before = structlog.get_config()
    try:
        telemetry.configure("test")
        with psycopg.connect(make_database("refusing")) as connection:
            connection.execute("CREATE TEMPORARY TABLE customer (name text PRIMARY KEY)")
            connection.execute("INSERT INTO customer VALUES (%s)", [name])
            try:
                connection.execute("INSERT INTO customer VALUES (%s)", [name])
            except psycopg.errors.UniqueViolation:
                structlog.get_logger().exception("import_failed")
    finally:
        structlog.configure(**before)
        settings.cache_clear()
    told = capsys.readouterr().err
    told = json.loads(told)["exception"] if log_format == "json" else told
    assert "Etxeberria" not in told
    assert "UniqueViolation: duplicate key value violates unique constraint" in told
    assert "test_telemetry.py" in told
