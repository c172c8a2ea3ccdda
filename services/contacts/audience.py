"""Audiences: the people that a filter describes, with what a message to them needs.

All people are walked by id, a window at a time, so that the size of an audience costs time and not memory, and the
walk ends when there are no more people, however few of a window fit. Who may not be written to is among the
candidates, with the reason. What belongs to a person is looked up by index for each one: a join would let the
planner read a whole ledger anew for each window.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    SQLColumnExpression,
    Text,
    case,
    cast,
    column,
    func,
    literal,
    literal_column,
    select,
    true,
)
from sqlalchemy.orm import Session
from sqlalchemy.sql.selectable import LateralFromClause

from chassis.errors import InvalidArgument, NotFound
from services.contacts import addresses, attributes, criteria
from services.contacts.models import (
    ADDRESS_OF_CHANNEL,
    Address,
    AddressKind,
    Channel,
    Consent,
    ConsentState,
    Person,
)

NO_ADDRESS, NO_CONSENT, CONSENT_WITHDRAWN = 1, 2, 3

# People looked at by one statement.
WINDOW = 1000

# What comes before the merge fields in a row of `_people`.
COLUMNS = 6

# The empty text as an attribute keeps it.
_EMPTY: ColumnElement[Any] = literal_column("""'""'::jsonb""")

_FIELDS: dict[str, SQLColumnExpression[Any]] = {
    "given_name": Person.given_name,
    "family_name": Person.family_name,
    "display_name": criteria.shown_name(),
    "language": Person.language,
    "lifecycle_stage": Person.lifecycle_stage,
    "external_id": Person.external_id,
    "email": addresses.in_use(AddressKind.EMAIL),
    "phone": addresses.in_use(AddressKind.PHONE),
}


@dataclass(frozen=True)
class Audience:
    """Who is meant, and what a message to them needs."""

    filter: str
    channel: Channel
    purpose: str
    merge_fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """How many people an audience has, how many may be written to, and who of those lacks what."""

    candidates: int
    eligible: int
    missing: dict[str, int]


def check(session: Session, audience: Audience) -> Check:
    """Count an audience. Raises FilterError, and InvalidArgument when a merge field does not exist."""
    people = _people(session, audience, _merge_columns(session, audience.merge_fields)).subquery()
    values = list(people.c)[COLUMNS:]
    eligible = people.c.ineligibility == 0
    missing = [func.count().filter(eligible, _lacks(value)) for value in values]
    row = session.execute(select(func.count(), func.count().filter(eligible), *missing).select_from(people)).one()
    lacking = dict(zip(audience.merge_fields, row[2:], strict=True))
    return Check(row[0], row[1], {name: count for name, count in lacking.items() if count})


def window(session: Session, snapshot: datetime, after: UUID | None) -> UUID | None:
    """The last of the next people by id that were there at the snapshot; None when there are no more."""
    statement = select(Person.id).where(Person.create_time <= snapshot)
    if after is not None:
        statement = statement.where(Person.id > after)
    people = statement.order_by(Person.id).limit(WINDOW).subquery()
    return session.scalars(select(people.c.id).order_by(people.c.id.desc()).limit(1)).one_or_none()


def batch(session: Session, candidates: Select[Any], after: UUID | None, last: UUID) -> list[Row[Any]]:
    """Those of `candidates` behind `after` up to `last`, by id."""
    statement = candidates.where(Person.id <= last)
    if after is not None:
        statement = statement.where(Person.id > after)
    return list(session.execute(statement.order_by(Person.id)))


def explain(session: Session, audience: Audience, person_id: UUID) -> tuple[bool, Row[Any]]:
    """Whether a person fits the filter, and the row that `candidates` has for them. Raises NotFound."""
    anybody = Audience("", audience.channel, audience.purpose, audience.merge_fields)
    row = session.execute(candidates(session, anybody).where(Person.id == person_id)).one_or_none()
    if row is None:
        raise NotFound("person", person_id)
    return criteria.is_named(person_id, audience.filter, session), row


def candidates(session: Session, audience: Audience) -> Select[Any]:
    """The people of an audience, eligible or not, with what a message needs.

    A row is id, ineligibility (0 where there is none), address, language, time zone, consent's id, and a JSON object
    of the merge fields that have a value. Raises FilterError, and InvalidArgument when a merge field does not exist.
    """
    return _people(session, audience, [_as_json(_merge_columns(session, audience.merge_fields))])


def _people(session: Session, audience: Audience, merged: Sequence[ColumnElement[Any]]) -> Select[Any]:
    address, consent = _address(ADDRESS_OF_CHANNEL[audience.channel]), _consent(audience)
    reason = case(
        (consent.c.id.is_(None), NO_CONSENT),
        (consent.c.state == int(ConsentState.WITHDRAWN), CONSENT_WITHDRAWN),
        (address.c.value.is_(None), NO_ADDRESS),
        else_=0,
    )
    return (
        select(
            cast(Person.id, Text).label("person_id"),
            reason.label("ineligibility"),
            address.c.value.label("address"),
            Person.language.label("person_language"),
            Person.time_zone,
            cast(consent.c.id, Text).label("consent_id"),
            *merged,
        )
        .select_from(Person)
        .outerjoin(address, true())
        .outerjoin(consent, true())
        .where(criteria.condition(session, audience.filter))
    )


def _address(kind: AddressKind) -> LateralFromClause:
    used = select(Address.value).where(Address.person_id == Person.id, Address.kind == int(kind))
    return used.order_by(Address.position).limit(1).correlate(Person).lateral("address_used")


def _consent(audience: Audience) -> LateralFromClause:
    in_force = select(Consent.id, Consent.state).where(
        Consent.person_id == Person.id,
        Consent.purpose == audience.purpose,
        Consent.channel == int(audience.channel),
        Consent.in_force,
    )
    return in_force.limit(1).correlate(Person).lateral("consent_in_force")


def _merge_columns(session: Session, names: tuple[str, ...]) -> list[ColumnElement[Any]]:
    """The merge fields by name, NULL where a person has no value."""
    types = attributes.types(session) if set(names) - set(_FIELDS) else {}
    columns: list[ColumnElement[Any]] = []
    for name in names:
        if name not in _FIELDS and name not in types:
            there = ", ".join([*_FIELDS, *types])
            raise InvalidArgument("audience.merge_fields", f"there is no field {name[:64]!r}; there are: {there}")
        value = func.nullif(_FIELDS[name], "") if name in _FIELDS else func.nullif(Person.attributes[name], _EMPTY)
        columns.append(value.label(name))
    return columns


def _as_json(columns: Sequence[ColumnElement[Any]]) -> ColumnElement[Any]:
    """One JSON object of the columns, made where they are: taken apart and put together again, it costs ten times."""
    if not columns:
        return literal("{}")
    named = select(*columns).correlate(Person).subquery("field")
    written = select(func.json_strip_nulls(func.row_to_json(column("field"))))
    return cast(written.select_from(named).scalar_subquery(), Text)


def _lacks(value: ColumnElement[Any]) -> ColumnElement[bool]:
    return func.coalesce(cast(value, Text), "[]") == "[]"
