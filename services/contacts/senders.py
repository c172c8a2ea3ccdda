"""Who is behind an address that somebody wrote from, in a handful of statements for a whole batch.

Addresses may be shared, so no constraint keeps two calls from making a person each for the same new address. A lock
on the address does, held until the transaction ends; only addresses that nobody has need it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.ids import new_id
from services.contacts import addresses, people, texts
from services.contacts.models import Address, AddressKind, Person


class Sender(NamedTuple):
    """Somebody who wrote, as the message has it."""

    kind: AddressKind
    value: str
    display_name: str
    # Did not write: nobody is created for the address.
    only_known: bool = False


@dataclass(frozen=True)
class Resolved:
    """Who a sender is; without an id, `error` says why the address cannot be one."""

    person_id: UUID | None = None
    created: bool = False
    display_name: str = ""
    language: str = ""
    error: str = ""


# An address without regard to capital letters.
_Key = tuple[AddressKind, str]

_NOBODY = Sender(AddressKind.EMAIL, "", "", only_known=True)
_NOT_THERE = Resolved(error="nobody has this address")

# A plan made while there were few addresses would be kept while there are many, and read them all for each sender.
_PLAN_BY_INDEX = text("SELECT set_config('enable_seqscan', 'off', true)")

_OWNERS = text("""
    SELECT s.place, p.id, p.display_name, p.given_name, p.family_name, p.language
    FROM unnest(CAST(:kinds AS smallint[]), CAST(:values AS text[])) WITH ORDINALITY AS s (kind, value, place)
    CROSS JOIN LATERAL (
        SELECT a.person_id FROM address a WHERE lower(a.value) = lower(s.value) AND a.kind = s.kind
        ORDER BY a.person_id LIMIT 1) AS owner
    JOIN person p ON p.id = owner.person_id""")

# In one order for everybody, so that no two calls wait for each other.
_LOCK = text("""
    SELECT pg_advisory_xact_lock(key) FROM (
        SELECT DISTINCT hashtextextended(lower(value), 0) AS key FROM unnest(CAST(:values AS text[])) AS s (value)
        ORDER BY key) AS locks""")


def resolve(session: Session, senders: Sequence[Sender]) -> list[Resolved]:
    """The people behind these addresses, in their order; who wrote and is unknown is created, without any consent."""
    keys, errors = list[_Key | None](), list[str]()
    asked = dict[_Key, Sender]()
    for sender in senders:
        try:
            value = addresses.normalised(sender.kind, texts.plain(sender.value))
        except ValueError as error:
            keys.append(None)
            errors.append(str(error))
            continue
        keys.append((sender.kind, value.lower()))
        errors.append("")
        # Two spellings of one address are one person, named as the first of them who wrote says.
        if asked.get(key := (sender.kind, value.lower()), _NOBODY).only_known:
            asked[key] = Sender(sender.kind, value, _name(sender), sender.only_known)
    session.execute(_PLAN_BY_INDEX)
    found = _owners(session, asked)
    unknown = {key: sender for key, sender in _without(asked, found).items() if not sender.only_known}
    if unknown:
        session.execute(_LOCK, {"values": [sender.value for sender in unknown.values()]})
        found |= _owners(session, unknown)
        found |= _created(session, _without(unknown, found))
    return [
        found.get(key, _NOT_THERE) if key else Resolved(error=error) for key, error in zip(keys, errors, strict=True)
    ]


def _owners(session: Session, asked: dict[_Key, Sender]) -> dict[_Key, Resolved]:
    keys, senders = list(asked), asked.values()
    values = {"kinds": [int(one.kind) for one in senders], "values": [one.value for one in senders]}
    return {
        keys[row.place - 1]: Resolved(row.id, False, people.shown_name(row), row.language)
        for row in session.execute(_OWNERS, values)
    }


def _without(asked: dict[_Key, Sender], found: dict[_Key, Resolved]) -> dict[_Key, Sender]:
    return {key: sender for key, sender in asked.items() if key not in found}


def _created(session: Session, unknown: dict[_Key, Sender]) -> dict[_Key, Resolved]:
    if not unknown:
        return {}
    made = {key: Resolved(new_id(), True, sender.display_name) for key, sender in unknown.items()}
    time = now()
    session.execute(
        insert(Person),
        [
            {"id": one.person_id, "display_name": one.display_name, "create_time": time, "update_time": time}
            for one in made.values()
        ],
    )
    session.execute(
        insert(Address),
        [
            {"person_id": made[key].person_id, "kind": int(sender.kind), "value": sender.value, "position": 0}
            for key, sender in unknown.items()
        ],
    )
    return made


def _name(sender: Sender) -> str:
    """The name on one line; many programs write the address where a name should be, which is none."""
    name = " ".join(texts.without_nul(sender.display_name).split())
    return "" if name.lower() == sender.value.strip().lower() else name
