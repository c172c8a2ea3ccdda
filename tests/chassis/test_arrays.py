"""Lists of plain values are written as psycopg writes them, only faster."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from uuid import UUID

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.arrays import write_arrays_fast

# Hypothesis wants the bounds without a zone.
YEARS = datetime(1, 1, 2), datetime(9999, 12, 30)  # noqa: DTZ001
TYPES = {
    "uuid": st.uuids(),
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "text": st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    "timestamptz": st.datetimes(*YEARS, timezones=st.just(UTC)),
    "bytea": st.binary(),
    "boolean": st.booleans(),
    "float8": st.floats(allow_nan=False),
}


@pytest.fixture(scope="module")
def connection(make_database: Callable[[str], str]) -> Iterator[psycopg.Connection]:
    """A connection that writes its lists fast."""
    with psycopg.connect(make_database("arrays"), autocommit=True) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        write_arrays_fast(connection)
        yield connection


@pytest.mark.parametrize("kind", TYPES)
def test_any_list_comes_back_as_it_was(kind: str, connection: psycopg.Connection) -> None:
    @given(st.lists(st.none() | TYPES[kind]))
    def comes_back(values: list[object]) -> None:
        answer = connection.execute(f"SELECT CAST(%s AS {kind}[])", [values]).fetchone()
        assert answer == (values,)

    comes_back()


def test_lists_in_lists_and_words_that_mean_something_in_arrays_come_back(connection: psycopg.Connection) -> None:
    words = ["NULL", "", "{}", '"', "\\", "a,b", " x ", "line\nline"]
    assert connection.execute("SELECT CAST(%s AS text[])", [words]).fetchone() == (words,)
    nested = [[1, 2], [3, 4]]
    assert connection.execute("SELECT CAST(%s AS int[])", [nested]).fetchone() == (nested,)


def test_text_with_nul_is_refused_and_not_cut_off(connection: psycopg.Connection) -> None:
    with pytest.raises(psycopg.DataError):
        connection.execute("SELECT CAST(%s AS text[])", [["a", "b\0c"]])


def test_an_array_finds_its_type_where_the_statement_does_not_say_it(connection: psycopg.Connection) -> None:
    wanted = UUID(int=7)
    assert connection.execute("SELECT %s = ANY(%s)", [wanted, [wanted, UUID(int=8)]]).fetchone() == (True,)
