"""Importing people with consent, beside a bare COPY of the same finished rows into tables of the same shape."""

import psycopg

from benchmarks.report import Figure, show, stopwatch
from tests.kit.customers import define_attributes, import_people
from tests.kit.world import World

COUNT = 200_000
TABLES = ("person", "address", "consent")


def measure(world: World) -> None:
    """Import the file into an empty installation, then copy its rows."""
    define_attributes(world)
    with stopwatch() as importing:
        import_people(world, COUNT)
    with world.tables("contacts") as database:
        seconds = sum(_copy_again(database, table) for table in TABLES)
    rate, limit = COUNT / importing.seconds, COUNT / seconds
    show([Figure(f"import of {COUNT:,} people", rate, "bare COPY of the same rows", limit, 0.25, "people")])


def _copy_again(database: psycopg.Connection, table: str) -> float:
    """Seconds that COPY takes to write a table's rows into its twin with the same indexes."""
    twin = f"twin_of_{table}"
    database.execute(f"CREATE TABLE {twin} (LIKE {table} INCLUDING ALL)")
    with database.cursor() as cursor:
        with cursor.copy(f"COPY {table} TO STDOUT (FORMAT binary)") as source:
            rows = [bytes(piece) for piece in source]
        with stopwatch() as watch, cursor.copy(f"COPY {twin} FROM STDIN (FORMAT binary)") as target:
            for piece in rows:
                target.write(piece)
    database.execute(f"DROP TABLE {twin}")
    return watch.seconds
