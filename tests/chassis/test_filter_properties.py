"""The filter language under random trees, records and garbage: PostgreSQL and Python never differ, nothing breaks."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from chassis.clock import time_from
from chassis.filters import FilterError, Type, matches, parse, predicate, stored_time, to_sql
from chassis.filters.tree import STAR, And, Call, Literal, Not, Or, Path, Restriction
from tests.kit.things import JSON_TYPES, THINGS, fill, found, things_in

NOW = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
WORDS = st.sampled_from(
    ["", "a", "A", "ab", "aXb", "%", "_", "a%b", "\\", "*", "'", '"', "ñ", "Ñandú", "\n", "z😀", "ﬀ", "null"]
)
NUMBERS = st.one_of(st.integers(-3, 3), st.sampled_from([0.1, 0.5, -2.5, 1e22, 2**31, 2**53 + 1, 2**63]))
DAYS = st.sampled_from([date(1, 1, 1), date(2024, 2, 29), date(2026, 10, 25), date(2026, 10, 26), date(9999, 12, 31)])
MOMENTS = st.sampled_from(
    [NOW + timedelta(hours=hours, microseconds=micro) for hours in (-24, -1, 0, 1) for micro in (0, 1)]
)
OWNERS = st.integers(1, 3).map(lambda number: UUID(int=number))
ANYTHING = st.one_of(WORDS, NUMBERS, st.booleans(), st.none(), st.just([]), st.just({}))


def json_or_wrong(of_its_type: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(of_its_type, of_its_type, ANYTHING)


ATTRIBUTES = st.fixed_dictionaries(
    {},
    optional={
        "word": json_or_wrong(WORDS),
        "number": json_or_wrong(NUMBERS),
        "flag": json_or_wrong(st.booleans()),
        "day": json_or_wrong(DAYS.map(date.isoformat)),
        "moment": json_or_wrong(MOMENTS.map(stored_time)),
        "list": json_or_wrong(st.lists(WORDS, max_size=2)),
    },
)
RECORDS = st.fixed_dictionaries(
    {
        "name": st.none() | WORDS,
        "email": st.none() | WORDS.map(str.casefold),
        "age": st.none() | st.integers(-3, 3),
        "score": st.none() | NUMBERS.map(str).map(Decimal),
        "active": st.none() | st.booleans(),
        "born": st.none() | DAYS,
        "seen": st.none() | MOMENTS,
        "tags": st.none() | st.lists(WORDS, max_size=2),
        "state": st.none() | st.sampled_from(["ACTIVE", "LOST"]),
        "owner": st.none() | OWNERS,
        "attributes": st.none() | ATTRIBUTES,
    }
)

ORDERED = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
EQUAL = st.sampled_from(["=", "!="])
WILD = st.lists(WORDS, min_size=1, max_size=4).map(lambda pieces: Literal(tuple(pieces)))
LITERALS: dict[Type, st.SearchStrategy[Literal]] = {
    Type.STRING: WORDS.map(lambda word: Literal((word,))),
    Type.NUMBER: NUMBERS.map(lambda number: Literal((str(number),), quoted=False)),
    Type.BOOLEAN: st.sampled_from(["true", "false"]).map(lambda word: Literal((word,), quoted=False)),
    Type.DATE: DAYS.map(lambda day: Literal((day.isoformat(),))) | st.just(Literal(("-1d",))),
    Type.TIMESTAMP: MOMENTS.map(lambda moment: Literal((moment.isoformat(),))) | st.just(Literal(("+1h",))),
    Type.ENUM: st.sampled_from(["ACTIVE", "LOST"]).map(lambda name: Literal((name,), quoted=False)),
    Type.ID: OWNERS.map(lambda owner: Literal((str(owner).upper(),))),
    Type.LIST: WORDS.map(lambda word: Literal((word,))),
}


def comparisons(operand: Path | Call, kind: Type) -> st.SearchStrategy[Restriction]:
    operators = {Type.LIST: st.just(":")}.get(kind, EQUAL if kind in {Type.BOOLEAN, Type.ENUM, Type.ID} else ORDERED)
    tests = st.builds(Restriction, st.just(operand), operators, LITERALS[kind])
    if kind is Type.STRING:
        tests |= st.builds(Restriction, st.just(operand), st.sampled_from(["=", "!=", ":"]), WILD)
    if kind is Type.BOOLEAN:
        tests |= st.just(Restriction(operand))
    return tests | st.just(Restriction(operand, ":", STAR))


LEAVES = st.one_of(
    *(comparisons(Path((name,)), field.type) for name, field in THINGS.fields.items()),
    *(comparisons(Path(("attributes", key)), kind) for key, kind in JSON_TYPES.items()),
    comparisons(Call(Path(("length",))), Type.NUMBER),
    WORDS.flatmap(
        lambda word: comparisons(Call(Path(("named",)), (Literal((word,)), Literal(("30d",)))), Type.BOOLEAN)
    ),
)


def trees(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, min_size=2, max_size=3).map(lambda terms: And(tuple(terms))),
            st.lists(inner, min_size=2, max_size=3).map(lambda terms: Or(tuple(terms))),
            inner.map(Not),
        ),
        max_leaves=8,
    )


@pytest.fixture(scope="module")
def session(make_database: Callable[[str], str]) -> Iterator[Session]:
    with things_in(make_database("filters")) as session:
        yield session


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(RECORDS, min_size=1, max_size=6), st.lists(trees(LEAVES), min_size=1, max_size=6))
def test_postgresql_and_python_give_the_same_answer(
    session: Session, records: list[dict[str, Any]], exprs: list[Any]
) -> None:
    fill(session, records)
    with time_from(lambda: NOW):
        for expr in exprs:
            fits = predicate(expr, THINGS)
            expected = {number for number, record in enumerate(records) if fits(record)}
            assert found(session, str(expr)) == expected, str(expr)
            everything = set(range(len(records)))
            assert found(session, str(Not(expr))) == everything - expected, "NOT is the rest"


TANGLED = st.text("ab%_*\\\n", max_size=4)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(TANGLED, min_size=10, max_size=10), st.lists(TANGLED, min_size=1, max_size=4), st.sampled_from(["=", ":"])
)
def test_wildcards_mean_the_same_to_both(session: Session, texts: list[str], pieces: list[str], operator: str) -> None:
    records = [{"name": name, "attributes": {"word": name}} for name in texts]
    fill(session, records)
    for operand in (Path(("name",)), Path(("attributes", "word"))):
        expr = Restriction(operand, operator, Literal(tuple(pieces)))
        fits = predicate(expr, THINGS)
        assert found(session, str(expr)) == {number for number, record in enumerate(records) if fits(record)}


NAMES = st.text(min_size=1).filter(lambda name: "\0" not in name) | st.sampled_from(
    ["city", "AND", "or", "a b", '"', "5"]
)
ANY_LITERAL = st.one_of(
    st.lists(st.text(), min_size=1, max_size=3).map(lambda pieces: Literal(tuple(pieces))),
    st.sampled_from(["true", "Bilbo", "-5.5e3", "30d", "2026-01-31T10:00:00+02:00"]).map(
        lambda word: Literal((word,), False)
    ),
)
PATHS = st.builds(
    lambda first, rest: Path((first, *rest)), st.sampled_from(["a", "ñ_1", "Order"]), st.lists(NAMES, max_size=2)
)
OPERANDS = PATHS | st.builds(Call, PATHS, st.lists(ANY_LITERAL, max_size=3).map(tuple))
ANY_LEAF = st.one_of(
    st.builds(Restriction, OPERANDS),
    st.builds(Restriction, OPERANDS, ORDERED | st.just(":"), ANY_LITERAL),
    st.builds(Restriction, OPERANDS, st.just(":"), st.just(STAR)),
)


@settings(max_examples=200, deadline=None)
@given(trees(ANY_LEAF))
def test_a_printed_tree_parses_into_the_same_tree(expr: Any) -> None:
    written = str(expr)
    assume("\0" not in written and len(written) <= 10_000)
    assert parse(written) == expr


SCRAPS = st.sampled_from(
    [
        *"()\"'*-:=<>!.,\\ \n\t\0;%_é😀\ud800",
        "AND",
        "OR",
        "NOT",
        "and",
        "name",
        "age",
        "length(",
        "named",
        "30",
        "-1e99",
        '"x"',
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.text() | st.lists(SCRAPS, max_size=30).map("".join) | st.lists(SCRAPS, max_size=12).map(" ".join))
def test_garbage_raises_nothing_but_filter_error(garbage: str) -> None:
    error = what_is_wrong(garbage)
    assert error is None or 1 <= error.position <= len(garbage) + 1


def what_is_wrong(filter_text: str) -> FilterError | None:
    """Both back ends try the filter."""
    try:
        expr = parse(filter_text)
        to_sql(expr, THINGS)
        matches(expr, THINGS, {"name": "x"})
    except FilterError as error:
        return error
    return None
