"""The filter language: what filters mean, what their authors are told, and how PostgreSQL answers them."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from chassis.clock import time_from
from chassis.filters import Field, FilterError, Function, Schema, Type, matches, parse, to_sql
from chassis.filters.tree import Literal
from tests.kit.things import THINGS, Thing, fill, found, things_in

NOW = datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def session(make_database: Callable[[str], str]) -> Iterator[Session]:
    with things_in(make_database("filters")) as session:
        yield session


@pytest.mark.parametrize(
    ("filter_text", "position", "says"),
    [
        ('nme = "x"', 1, "there is no field 'nme'; did you mean 'name'? Fields: active, age, attributes.day"),
        ("a OR attributes.colour:*", 1, "there is no field 'a'"),
        ("active OR attributes.wrd:*", 11, "did you mean 'attributes.word'?"),
        ('active AND nmed("x")', 12, "there is no function 'nmed'; did you mean 'named'? Functions: length, named."),
        ("named()", 1, "named() got 0 arguments; it takes text, a duration, of which the last 1 may be left out"),
        ('named("x", "1d", 3)', 1, "named() got 3 arguments"),
        ("length(1) > 2", 1, "length() got 1 arguments; it takes nothing"),
        ("named(5)", 7, 'argument 1 of named() needs text in quotes, such as "Bilbo"; this is 5'),
        ('named("x", "soon")', 12, "argument 2 of named() needs a duration"),
        ('age = "30"', 7, 'age needs a number without quotes, such as 30 or -2.5; this is "30"'),
        ("age = 1e999", 7, "age needs a number"),
        ("age = NaN", 7, "age needs a number"),
        ("name = 30", 8, "name needs text in quotes"),
        ("name = null", 8, "`NOT name:*` asks for a missing value"),
        ("state = active", 9, "state needs one of ACTIVE, LOST; this is active"),
        ('state = "ACT*"', 9, "state needs one of ACTIVE, LOST"),
        ('born = "31/01/2026"', 8, 'born needs a date such as "2026-01-31"'),
        ("born = 2026-02-30", 8, "born needs a date"),
        ("seen < 2026-01-31T10:00:00", 8, "seen needs a moment"),
        ('seen < "-999999w"', 8, "seen needs a moment"),
        ("owner = 7", 9, "owner needs a UUID"),
        ("active = 1", 10, "active needs true or false"),
        ("active > true", 1, "active is true or false; it is compared with != = or :*"),
        ('tags = "vip"', 1, "tags is a list of texts; it is compared with : or :*"),
        ("age:5", 1, "age is a number; it is compared with"),
        ("active AND name", 12, "name is text; it must be compared with something"),
        ('name < "a*"', 8, "name needs text"),
        ('name = "x', 8, "the closing quote of this text is missing"),
        ("name = ", 8, "the filter ends too early"),
        ('name = "a" name = "b"', 12, "'name' cannot stand here; expected one of: a comma, ), AND, OR"),
        ('name = "a" and active', 12, "'and' must be written in capital letters"),
        (r'name = "a\d"', 10, r"there is no escape \d"),
        ('name == "a"', 7, "'=' cannot stand here; expected one of: a name, a text in quotes"),
        ("(" * 51 + "active" + ")" * 51, 51, "nested more than 50 deep"),
        ("active" + " OR active" * 1200, 10_001, "at most 10,000 characters"),
        ('name = "\0"', 9, "cannot be part of a text"),
    ],
)
def test_a_mistake_is_explained_with_its_place(filter_text: str, position: int, says: str) -> None:
    with pytest.raises(FilterError, match=re.escape(says)) as caught:
        to_sql(parse(filter_text), THINGS)
    assert caught.value.position == position
    assert caught.value.message.startswith(f"filter: at character {position}: ")
    assert caught.value.reason == "INVALID_FILTER"


RECORD = {
    "name": "Ana",
    "email": "ana@bilbo.example",
    "age": 30,
    "active": True,
    "born": date(1996, 2, 29),
    "seen": NOW - timedelta(days=10),
    "tags": ["vip", "news letter"],
    "state": "ACTIVE",
    "owner": UUID(int=7),
    "attributes": {"word": "Getxo", "number": 0.1, "flag": False, "day": "2026-01-31", "list": ["red"]},
}


@pytest.mark.parametrize(
    ("filter_text", "fits"),
    [
        ("", True),
        ("  \n", True),
        ('name = "Ana"', True),
        ("name = 'Ana'", True),
        ("name = Ana", True),
        ('name = "ana"', False),
        ('name = "An*"', True),
        ('name = "*n*"', True),
        (r'name = "An\*"', False),
        ('name:"n"', True),
        ('name:"N"', False),
        ('email = "ANA@Bilbo.example"', True),
        ('email = "ANA@*"', True),
        ('name > "Amaia" AND name < "Ane"', True),
        ("age = 30.0 AND age > -5 AND age < 3.1e1", True),
        ("active", True),
        ("active = false OR -active", False),
        ("born >= 1996-02-29", True),
        ('seen > "-11d" AND seen < "-9d"', True),
        ('seen >= "2026-10-15T03:30:00+02:00" AND seen < "2026-10-16"', True),
        ('tags:"vip" AND NOT tags:"vi"', True),
        ("tags:* AND NOT score:*", True),
        ("state = ACTIVE", True),
        ('owner = "00000000-0000-0000-0000-000000000007"', True),
        ('attributes.word = "G*" AND attributes.number = 0.10 AND NOT attributes.flag', True),
        ('attributes.day < "2026-02-01" AND attributes.list:"red"', True),
        ('attributes."word":*', True),
        ("score = 5", False),
        ("score != 5", True),
        ("NOT score = 5", True),
        ("NOT score < 5", True),
        ("score < 5 OR score >= 5", False),
        ('attributes.word:"%" OR name:"_"', False),
        ("length() = 3", True),
        ('named("Ana", "30d") AND named("Ana")', True),
        # AIP-160: OR binds more tightly than AND.
        ('name = "Ana" OR name = "Bea" AND age > 99', False),
        ('name = "Ana" OR (name = "Bea" AND age > 99)', True),
    ],
)
def test_the_language_means_what_the_manual_says(session: Session, filter_text: str, fits: bool) -> None:
    fill(session, [RECORD])
    with time_from(lambda: NOW):
        assert matches(parse(filter_text), THINGS, RECORD) is fits
        assert found(session, filter_text) == ({0} if fits else set())


@pytest.mark.parametrize("field", ["name", "attributes.word"])
def test_an_empty_text_counts_as_missing_and_equals_the_empty_text(session: Session, field: str) -> None:
    records: list[dict[str, Any]] = [
        {"name": "", "attributes": {"word": ""}},
        {"name": None, "attributes": {}},
        {"name": " ", "attributes": {"word": " "}},
    ]
    fill(session, records)
    for condition, expected in [(":*", {2}), (' = ""', {0}), (' != ""', {1, 2}), (':""', {0, 2}), (' > ""', {2})]:
        assert found(session, field + condition) == expected
        assert {n for n, it in enumerate(records) if matches(parse(field + condition), THINGS, it)} == expected


def test_the_hour_that_autumn_repeats_is_two_hours(session: Session) -> None:
    fill(session, [{"seen": NOW - timedelta(hours=1)}, {"seen": NOW}])
    assert found(session, 'seen = "2026-10-25T02:30:00+02:00"') == {0}
    assert found(session, 'seen = "2026-10-25T02:30:00+01:00"') == {1}


def test_texts_are_ordered_by_code_point_and_exists_stays_an_anti_join(session: Session) -> None:
    statement = str(to_sql(parse('name > "a" AND NOT named("x")'), THINGS).compile(session.connection()))
    assert statement.startswith('(thing.name COLLATE "C") > ')
    assert " AND NOT (EXISTS (SELECT " in statement


@pytest.mark.parametrize(
    "attack", ["'; DROP TABLE thing; --", "' OR 1=1 --", "%(x)s :x %s $1", '\\" OR true', "*/ /*", "{}"]
)
def test_values_are_bound_and_never_part_of_the_statement(session: Session, attack: str) -> None:
    fill(session, [{**RECORD, "name": attack, "tags": [attack], "attributes": {"word": attack}}])
    quoted = str(Literal((attack,)))
    filter_text = (
        f"name = {quoted} AND name:{quoted} AND tags:{quoted} AND attributes.word = {quoted} AND named({quoted})"
    )
    assert found(session, filter_text) == {0}
    assert attack not in str(to_sql(parse(filter_text), THINGS).compile(session.connection()))
    assert found(session, f"name = {quoted} AND name != {quoted}") == set()


def test_a_key_of_an_open_field_is_bound_too(session: Session) -> None:
    key = "a' OR 1=1 --\""
    schema = Schema({f"attributes.{key}": Field(Type.STRING, Thing.attributes, key)})
    condition = to_sql(parse(f"attributes.{Literal((key,))} > 'a'"), schema)
    assert "1=1" not in str(condition.compile(session.connection()))
    fill(session, [{**RECORD, "attributes": {key: "b"}}])
    assert session.scalars(select(Thing.id).where(condition)).all() == [0]


@pytest.mark.parametrize(
    ("filter_text", "index"),
    [
        ('name = "n77"', "thing_name_idx"),
        ('name = "n77*"', "thing_name_idx"),
        ("age = 77", "thing_age_idx"),
        ("age > 1.5 AND age < 2 AND age = 2", "thing_age_idx"),
        ('tags:"t77"', "thing_tags_idx"),
        ('attributes.word = "w77"', "thing_attributes_idx"),
        ("attributes.number = 77", "thing_attributes_idx"),
        ('attributes.list:"t77" AND NOT name = "x"', "thing_attributes_idx"),
    ],
)
def test_common_filters_are_answered_by_an_index(session: Session, filter_text: str, index: str) -> None:
    session.rollback()
    session.execute(
        text(
            "INSERT INTO thing (id, name, age, tags, attributes) SELECT n, 'n' || n, n, ARRAY['t' || n],"
            " jsonb_build_object('word', 'w' || n, 'number', n, 'list', jsonb_build_array('t' || n))"
            " FROM generate_series(1, 5000) n"
        )
    )
    session.execute(text("ANALYZE thing"))
    statement = select(Thing.id).where(to_sql(parse(filter_text), THINGS)).compile(session.connection())
    plan = session.connection().exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", statement.params).scalar_one()
    assert f'"Index Name": "{index}"' in json.dumps(plan)


def test_wildcards_in_python_take_no_exponential_time() -> None:
    expr = parse('name = "' + "*a" * 2000 + '*b"')
    assert not matches(expr, THINGS, {"name": "a" * 100_000})


def test_open_fields_are_asked_once_and_only_when_needed() -> None:
    asked: list[str] = []

    def attributes() -> dict[str, Field]:
        asked.append("again")
        return {"size": Field(Type.NUMBER)}

    schema = Schema({"city": Field(Type.STRING)}, open_fields=attributes)
    assert matches(parse("city = Bilbo"), schema, {"city": "Bilbo"})
    assert asked == []
    assert matches(parse("size = 1 OR size = 2 OR NOT size = 3"), schema, {"size": 2})
    assert asked == ["again"]


def test_a_schema_for_one_back_end_only_says_so() -> None:
    schema = Schema({"city": Field(Type.STRING)}, {"near": Function((), Type.BOOLEAN, python=lambda record: True)})
    assert matches(parse("city = Bilbo AND near()"), schema, {"city": "Bilbo"})
    with pytest.raises(TypeError, match="city"):
        to_sql(parse("city = Bilbo"), schema)
