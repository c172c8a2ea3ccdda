"""What filters over people may say: fields, attributes by bare name, and functions over the ledger and the timeline."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    SQLColumnExpression,
    Text,
    TypeDecorator,
    case,
    false,
    func,
    or_,
    select,
    true,
    type_coerce,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.errors import InvalidArgument
from chassis.filters import Field, Function, Schema, Type, parse, to_sql
from services.contacts import addresses, attributes
from services.contacts.models import (
    Activity,
    Address,
    AddressKind,
    AttributeType,
    Campaign,
    Channel,
    Company,
    Consent,
    ConsentState,
    Membership,
    Person,
)

REACHED = ("sent", "delivered", "complained")

_TYPES = {
    AttributeType.STRING: Type.STRING,
    AttributeType.NUMBER: Type.NUMBER,
    AttributeType.BOOLEAN: Type.BOOLEAN,
    AttributeType.DATE: Type.DATE,
    AttributeType.STRING_LIST: Type.LIST,
}


def condition(session: Session, filter_text: str) -> ColumnElement[bool]:
    """The people that a filter describes; an empty one describes everybody. Raises FilterError."""
    return to_sql(parse(filter_text), schema(session))


def schema(session: Session) -> Schema:
    """What a filter may name now; attributes are looked up only when one is named."""

    def defined() -> dict[str, Field]:
        found: dict[str, Field] = {}
        for name, kind in attributes.types(session).items():
            found[name] = Field(_TYPES[kind], Person.attributes, key=name)
            found[f"attributes.{name}"] = found[name]
        return found

    return Schema(FIELDS, FUNCTIONS, defined)


def is_named(person_id: object, filter_text: str, session: Session) -> bool:
    """A person fits a filter."""
    found = session.scalar(select(Person.id).where(Person.id == person_id, condition(session, filter_text)))
    return found is not None


def shown_name() -> ColumnElement[str]:
    """How the person of a statement is shown: the name chosen for it, or else made from the names."""
    made = func.btrim(Person.given_name + " " + Person.family_name)
    return case((Person.display_name != "", Person.display_name), else_=made)


class _AddressOfPerson(TypeDecorator[str]):
    """The address in use, in lower case; compared with `=`, any address of the person, which an index finds."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: AddressKind) -> None:
        super().__init__()
        self.kind = kind

    class comparator_factory(TypeDecorator.Comparator[str]):  # noqa: N801  # SQLAlchemy's name
        __hash__ = TypeDecorator.Comparator.__hash__

        def __eq__(self, other: object) -> ColumnElement[bool]:  # type: ignore[override]  # SQLAlchemy's way
            kind = cast("_AddressOfPerson", self.type).kind
            value = cast("ColumnElement[str]", other)
            return Person.id.in_(
                select(Address.person_id).where(func.lower(Address.value) == value, Address.kind == int(kind))
            )


def _address(kind: AddressKind) -> Field:
    column = type_coerce(func.lower(addresses.in_use(kind)), _AddressOfPerson(kind))
    return Field(Type.STRING, column, normalise=str.lower)


def _probe(*conditions: SQLColumnExpression[bool]) -> ColumnElement[bool]:
    """Whether the person of the statement around it has such a row, looked up by index for each person.

    EXISTS would say the same, but leaves the planner free to read a whole ledger anew for each thousand people.
    """
    row = select(true()).where(*conditions).limit(1).correlate(Person)
    return func.coalesce(row.scalar_subquery(), false())


def _consent(state: ConsentState) -> Callable[..., ColumnElement[bool]]:
    def in_force(purpose: str, channel: str) -> ColumnElement[bool]:
        return _probe(
            Consent.person_id == Person.id,
            Consent.purpose == purpose,
            Consent.channel == int(_channel(channel)),
            Consent.in_force,
            Consent.state == int(state),
        )

    return in_force


def _channel(name: str) -> Channel:
    try:
        return Channel[name.upper()]
    except KeyError:
        names = ", ".join(channel.name.lower() for channel in Channel)
        raise InvalidArgument("filter", f"there is no channel {name[:40]!r}; there are: {names}") from None


def _activity(kind: str, *states: str) -> Callable[..., ColumnElement[bool]]:
    def happened(campaign: str = "", window: timedelta | None = None) -> ColumnElement[bool]:
        conditions: list[SQLColumnExpression[bool]] = [Activity.person_id == Person.id, Activity.kind == kind]
        if states:
            conditions.append(Activity.state.in_(states))
        if campaign:
            named = or_(Campaign.name == campaign, sql_cast(Campaign.id, Text) == campaign.lower())
            conditions.append(Activity.campaign_id.in_(select(Campaign.id).where(named)))
        if window is not None:
            conditions.append(Activity.time >= now() - window)
        return _probe(*conditions)

    return happened


def _member_of(company: str) -> ColumnElement[bool]:
    named = or_(Company.domain == company.lower(), func.lower(Company.name) == company.lower())
    return _probe(Membership.person_id == Person.id, Membership.company_id == Company.id, named)


def _has_tag(tag: str) -> SQLColumnExpression[Any]:
    return Person.tags.contains([tag])


_ACTIVITY = (Type.STRING, Type.DURATION)
_LEDGER = (Type.STRING, Type.STRING)

FIELDS = {
    "id": Field(Type.ID, Person.id),
    "external_id": Field(Type.STRING, Person.external_id),
    "given_name": Field(Type.STRING, Person.given_name),
    "family_name": Field(Type.STRING, Person.family_name),
    "display_name": Field(Type.STRING, shown_name()),
    "language": Field(Type.STRING, Person.language),
    "time_zone": Field(Type.STRING, Person.time_zone),
    "lifecycle_stage": Field(Type.STRING, Person.lifecycle_stage),
    "tags": Field(Type.LIST, Person.tags),
    "create_time": Field(Type.TIMESTAMP, Person.create_time),
    "update_time": Field(Type.TIMESTAMP, Person.update_time),
    "email": _address(AddressKind.EMAIL),
    "phone": _address(AddressKind.PHONE),
    "replied": Field(Type.BOOLEAN, _activity("reply")()),
    "bounced": Field(Type.BOOLEAN, _activity("message", "bounced")()),
    "has_open_ticket": Field(Type.BOOLEAN, _activity("ticket", "new", "open", "pending")()),
}

FUNCTIONS = {
    "consented": Function(_LEDGER, Type.BOOLEAN, _consent(ConsentState.GRANTED)),
    "withdrawn": Function(_LEDGER, Type.BOOLEAN, _consent(ConsentState.WITHDRAWN)),
    "received": Function(_ACTIVITY, Type.BOOLEAN, _activity("message", *REACHED), optional=2),
    "opened": Function(_ACTIVITY, Type.BOOLEAN, _activity("open"), optional=2),
    "clicked": Function(_ACTIVITY, Type.BOOLEAN, _activity("click"), optional=2),
    "replied": Function(_ACTIVITY, Type.BOOLEAN, _activity("reply"), optional=2),
    "bounced": Function(_ACTIVITY, Type.BOOLEAN, _activity("message", "bounced"), optional=2),
    "member_of": Function((Type.STRING,), Type.BOOLEAN, _member_of),
    "has_tag": Function((Type.STRING,), Type.BOOLEAN, _has_tag),
}

# Names that an attribute may not have, since filters and merge fields use them already.
RESERVED = frozenset(FIELDS) | frozenset(FUNCTIONS) | {"attributes", "addresses"}
