"""Audiences: the people that a filter describes, with what a message to them needs.

All people are walked by id, a window at a time, so that the size of an audience costs time and not memory, and the
walk ends when there are no more people, however few of a window fit. Who may not be written to is among the
candidates, with the reason. What belongs to a person is looked up by index for each one: a join would let the
planner read a whole ledger anew for each window.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Double,
    Row,
    Select,
    SQLColumnExpression,
    Text,
    case,
    cast,
    func,
    select,
    true,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session
from sqlalchemy.sql.selectable import LateralFromClause

from chassis.errors import InvalidArgument, NotFound
from services.contacts import addresses, attributes, criteria
from services.contacts.models import (
    ADDRESS_OF_CHANNEL,
    Address,
    AddressKind,
    AttributeType,
    Channel,
    Consent,
    ConsentState,
    Person,
)

NO_ADDRESS, NO_CONSENT, CONSENT_WITHDRAWN = 1, 2, 3

# People looked at by one statement.
WINDOW = 1000

# What comes before the merge fields in a row of `candidates`.
COLUMNS = 6

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
    people = candidates(session, audience).subquery()
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

    A row is id, ineligibility (0 where there is none), address, language, time zone, consent's id, and then the merge
    fields. Raises FilterError, and InvalidArgument when a merge field does not exist.
    """
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
            *_merge_columns(session, audience.merge_fields),
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
    types = attributes.types(session) if set(names) - set(_FIELDS) else {}
    columns: list[ColumnElement[Any]] = []
    for index, name in enumerate(names):
        if name not in _FIELDS and name not in types:
            there = ", ".join([*_FIELDS, *types])
            raise InvalidArgument("audience.merge_fields", f"there is no field {name[:64]!r}; there are: {there}")
        column = _FIELDS[name] if name in _FIELDS else _attribute(name, types[name])
        columns.append(column.label(f"field_{index}"))
    return columns


def _attribute(name: str, kind: AttributeType) -> ColumnElement[Any]:
    """An attribute as its own type: the driver reads that several times faster than JSON."""
    value: Any = Person.attributes[name]
    text: ColumnElement[Any] = value.astext
    match kind:
        case AttributeType.NUMBER:
            return cast(text, Double)
        case AttributeType.BOOLEAN:
            return cast(text, Boolean)
        case AttributeType.STRING_LIST:
            return type_coerce(value, JSONB)
    return text


def _lacks(value: ColumnElement[Any]) -> ColumnElement[bool]:
    return func.coalesce(cast(value, Text), "").in_(("", "[]"))
