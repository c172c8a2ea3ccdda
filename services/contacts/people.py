"""People: create, read, change, delete. Every change raises the version, which is the etag."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from chassis import requests
from chassis.clock import now
from chassis.db import Database
from chassis.errors import Aborted, AlreadyExists, InvalidArgument, NotFound, Violation
from chassis.outbox import record
from chassis.paging import PageRequest, paginate
from denda.contacts.v1 import events_pb2
from services.contacts import addresses, attributes, criteria, texts
from services.contacts.addresses import Contact
from services.contacts.attributes import Types, Value
from services.contacts.models import AddressKind, Person

TEXT_FIELDS = ("external_id", "given_name", "family_name", "display_name", "lifecycle_stage")

_NORMALISED: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(TEXT_FIELDS, texts.plain),
    "language": texts.language,
    "time_zone": texts.time_zone,
    "tags": texts.tags,
}

# A person with the addresses; `Shown` may also be a bare row with the same names.
Known = tuple[Person, Sequence[Contact]]
Shown = tuple[Any, Sequence[Contact]]


_KINDS = {str(int(kind)): kind for kind in AddressKind}


class _Row(NamedTuple):
    """A person by the names of the columns, with the addresses in order."""

    id: str
    external_id: str | None
    given_name: str
    family_name: str
    display_name: str
    language: str
    time_zone: str
    lifecycle_stage: str
    tags: list[str]
    attributes: dict[str, Any]
    version: int
    create_time: datetime
    update_time: datetime
    addresses: list[tuple[str, str, str]]


_READ = """
    SELECT id::text, external_id, given_name, family_name, display_name, language, time_zone, lifecycle_stage, tags,
        attributes, version, create_time, update_time,
        ARRAY(SELECT ARRAY[kind::text, value, label] FROM address WHERE person_id = person.id ORDER BY kind, position)
    FROM person WHERE id = $1"""


@dataclass
class Details:
    """What is to be known of a person, normalised; what is not named stays as it is."""

    columns: dict[str, Any] = field(default_factory=dict)
    contacts: list[Contact] | None = None
    # Attributes to set, and those to forget (None); the others stay unless `replaces_attributes`.
    attributes: dict[str, Value | None] = field(default_factory=dict)
    replaces_attributes: bool = False


def details(fields: Mapping[str, Any], types: Types) -> Details:
    """Normalise fields: columns by name, `addresses` as (kind, value, label), `attributes` or `attributes.NAME`.

    Raises InvalidArgument with every field that is wrong.
    """
    found, violations = Details(), list[Violation]()
    for name, value in fields.items():
        try:
            _take(found, name, value, types)
        except ValueError as error:
            violations.append(Violation(f"person.{name}", str(error)))
        except InvalidArgument as error:
            violations += error.violations
    if violations:
        first, *more = violations
        raise InvalidArgument(first.field, first.description, *more)
    return found


def _take(found: Details, name: str, value: Any, types: Types) -> None:
    if name == "addresses":
        found.contacts = _contacts(value)
    elif name == "attributes":
        found.attributes |= attributes.checked(value, types, "person.attributes")
        found.replaces_attributes = True
    elif name.startswith("attributes."):
        found.attributes |= attributes.checked({name.partition(".")[2]: value}, types, "person.attributes")
    else:
        found.columns[name] = _NORMALISED[name](value)


def _contacts(given: Sequence[tuple[int, str, str]]) -> list[Contact]:
    contacts, violations = list[Contact](), list[Violation]()
    for index, (kind, value, label) in enumerate(given):
        try:
            plain = addresses.normalised(AddressKind(kind), texts.plain(value))
            contacts.append(Contact(AddressKind(kind), plain, texts.plain(label)))
        except ValueError as error:
            violations.append(Violation(f"person.addresses[{index}].value", str(error)))
    if violations:
        first, *more = violations
        raise InvalidArgument(first.field, first.description, *more)
    return addresses.ordered(contacts)


def create(session: Session, fields: Mapping[str, Any], request_id: str = "") -> Known:
    """Create a person. Raises InvalidArgument, and AlreadyExists when the external id is taken."""
    person_id, repeated = requests.id_for(session, "person", request_id)
    if repeated:
        return get(session, person_id)
    known = details(fields, _types_for(session, fields))
    time = now()
    values = {name: value for name, value in known.attributes.items() if value is not None}
    person = Person(id=person_id, version=1, create_time=time, update_time=time, attributes=values)
    for name in _NORMALISED:
        setattr(person, name, known.columns.get(name, [] if name == "tags" else ""))
    person.external_id = person.external_id or None
    session.add(person)
    _flush(session, person)
    addresses.write(session, person_id, known.contacts or [])
    return person, known.contacts or []


def get(session: Session, person_id: UUID) -> Known:
    """A person. Raises NotFound."""
    person = session.get(Person, person_id)
    if person is None:
        raise NotFound("person", person_id)
    return person, addresses.of_people(session, [person_id]).get(person_id, [])


def read(database: Database, person_id: UUID) -> Shown:
    """A person as `get` answers it, in one bare statement. Raises NotFound."""
    rows = database.lookup(_READ, person_id.hex)
    if not rows:
        raise NotFound("person", person_id)
    person = _Row(*rows[0])
    return person, [Contact(_KINDS[kind], value, label) for kind, value, label in person.addresses]


def batch(session: Session, person_ids: Sequence[UUID]) -> list[Known]:
    """Those of these people that exist."""
    return _with_addresses(session, list(session.scalars(select(Person).where(Person.id.in_(person_ids)))))


def page(session: Session, filter_text: str, request: PageRequest) -> tuple[list[Known], str]:
    """A page of the people that a filter describes, by creation, and the token of the next one."""
    statement = select(Person).where(criteria.condition(session, filter_text))
    rows, token = paginate(session, statement, (Person.id,), request, fingerprint=f"people {filter_text}")
    return _with_addresses(session, [person for (person,) in rows]), token


def update(session: Session, person_id: UUID, fields: Mapping[str, Any], etag: str = "") -> Known:
    """Change the fields that are named.

    Raises NotFound, InvalidArgument, AlreadyExists, and Aborted for a stale etag.
    """
    person = locked(session, person_id, etag)
    known = details(fields, _types_for(session, fields))
    if known.columns.get("display_name") == shown_name(person):
        # A client that sends back what it was shown does not mean to fix a name that is made from others.
        del known.columns["display_name"]
    for name, value in known.columns.items():
        setattr(person, name, value)
    person.external_id = person.external_id or None
    kept = {} if known.replaces_attributes else person.attributes
    merged = {**kept, **known.attributes}
    person.attributes = {name: value for name, value in merged.items() if value is not None}
    person.version += 1
    person.update_time = now()
    _flush(session, person)
    if known.contacts is not None:
        addresses.write(session, person_id, known.contacts)
    return person, addresses.of_people(session, [person_id]).get(person_id, [])


def remove(session: Session, person_id: UUID, etag: str = "") -> None:
    """Delete a person with all that hangs on them. Records PersonDeleted. Raises NotFound and Aborted."""
    locked(session, person_id, etag)
    session.execute(delete(Person).where(Person.id == person_id))
    record(session, events_pb2.PersonDeleted(person_id=str(person_id)), str(person_id))


def locked(session: Session, person_id: UUID, etag: str = "") -> Person:
    """The person, whom nobody else changes until this transaction ends. Raises NotFound and Aborted."""
    person = session.get(Person, person_id, with_for_update={"key_share": True})
    if person is None:
        raise NotFound("person", person_id)
    if etag and etag != str(person.version):
        raise Aborted("Somebody else has changed this person; read it again and repeat the change.")
    return person


def require(session: Session, person_id: UUID) -> None:
    """Raises NotFound when there is no such person."""
    if session.scalar(select(Person.id).where(Person.id == person_id)) is None:
        raise NotFound("person", person_id)


def shown_name(person: Any) -> str:
    """How to show a person: the name chosen for it, or else made from the names."""
    return str(person.display_name) or f"{person.given_name} {person.family_name}".strip()


def _types_for(session: Session, fields: Mapping[str, Any]) -> Types:
    """The attributes' types where some are named; most calls name none and need no query."""
    return attributes.types(session) if any(name.startswith("attributes") for name in fields) else {}


def _flush(session: Session, person: Person) -> None:
    # Read before, since a person of a transaction that failed cannot be read any more.
    external_id = person.external_id
    try:
        session.flush()
    except IntegrityError as error:
        if "person_external_id_key" not in str(error.orig):
            raise
        raise AlreadyExists(f"Another person has the external_id {external_id!r}.") from None


def _with_addresses(session: Session, found: Sequence[Person]) -> list[Known]:
    contacts = addresses.of_people(session, [person.id for person in found])
    return [(person, contacts.get(person.id, [])) for person in found]
