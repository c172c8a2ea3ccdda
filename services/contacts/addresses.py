"""Addresses: how people can be reached, in the one spelling that is stored.

Emails are checked with email-validator (without DNS) and phone numbers with phonenumbers. Both take about 50 µs,
so plain common shapes take a shorter way with the same result; a property test holds the two ways together.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from sqlalchemy import ScalarSelect, delete, func, insert, select
from sqlalchemy.orm import Session

from services.contacts.models import Address, AddressKind, Person

MOST_CHARACTERS = 254

_PLAIN_LOCAL_PART = re.compile(r"[A-Za-z0-9]+(?:[._+-][A-Za-z0-9]+)*")
_PLAIN_DOMAIN = re.compile(r"[A-Za-z0-9.-]{3,189}")
_PLAIN_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")


@dataclass(frozen=True)
class Contact:
    """An address as it is stored, without its person."""

    kind: AddressKind
    value: str
    label: str = ""


def normalised(kind: AddressKind, value: str, region: str = "") -> str:
    """An address in the spelling that is stored. Raises ValueError that says what is wrong with it."""
    return normalised_email(value) if kind == AddressKind.EMAIL else normalised_phone(value, region)


def normalised_email(value: str) -> str:
    """An email address with its domain in lower case. Raises ValueError."""
    value = value.strip()
    local, _, domain = value.rpartition("@")
    if len(local) <= 64 and _PLAIN_LOCAL_PART.fullmatch(local) and _PLAIN_DOMAIN.fullmatch(domain):
        return f"{local}@{_domain(domain)}"
    return _validated_email(value)


@lru_cache(maxsize=4096)
def _domain(domain: str) -> str:
    return _validated_email(f"a@{domain}")[2:]


def _validated_email(value: str) -> str:
    if len(value) > MOST_CHARACTERS:
        raise ValueError(f"is longer than the {MOST_CHARACTERS} characters of an email address")
    try:
        # `test_environment` allows the names under .test, which cannot reach anybody.
        return validate_email(value, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as error:
        raise ValueError(f"{value[:80]!r} is not an email address: {error}") from None


def normalised_phone(value: str, region: str = "") -> str:
    """A phone number in E.164. `region` is where a number without country code is from. Raises ValueError.

    Possible numbers are taken, not only assigned ones: ranges open faster than metadata is updated.
    """
    value = value.strip()
    if _PLAIN_NUMBER.fullmatch(value) and _is_plainly_possible(value):
        return value
    try:
        number = phonenumbers.parse(value, region or None)
    except phonenumbers.NumberParseException:
        hint = "" if region else "; begin it with + and the country code"
        raise ValueError(f"{value[:40]!r} is not a phone number{hint}") from None
    if not phonenumbers.is_possible_number(number):
        raise ValueError(f"{value[:40]!r} cannot be a phone number: it has too few or too many digits")
    if number.extension:
        raise ValueError(f"{value[:40]!r} has an extension, which can be neither called nor written to directly")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@dataclass(frozen=True)
class _CallingCode:
    """What the metadata says of the numbers behind a country code."""

    digits: str
    national_prefix: re.Pattern[str] | None
    lengths: frozenset[int]


def _is_plainly_possible(number: str) -> bool:
    """The number is possible as it stands: nothing in it is a national prefix that parsing would take away."""
    code = _calling_code(number[1:4])
    if code is None:
        return False
    national = number[1 + len(code.digits) :]
    if len(national) not in code.lengths or national.startswith("0"):
        return False
    return not (code.national_prefix and code.national_prefix.match(national))


@lru_cache(maxsize=1000)
def _calling_code(three_digits: str) -> _CallingCode | None:
    """The country code that begins these three digits; no code begins another one (ITU-T E.164)."""
    for length in (1, 2, 3):
        code = int(three_digits[:length])
        regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(code)
        if not regions:
            continue
        metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, regions[0])
        if metadata is None or metadata.general_desc is None:
            return None
        prefix = metadata.national_prefix_for_parsing
        lengths = frozenset(metadata.general_desc.possible_length)
        return _CallingCode(three_digits[:length], re.compile(prefix) if prefix else None, lengths)
    return None


def ordered(contacts: Iterable[Contact]) -> list[Contact]:
    """Addresses as they are kept: emails first, each address once, otherwise in their order."""
    found: dict[tuple[AddressKind, str], Contact] = {}
    for contact in contacts:
        found.setdefault((contact.kind, contact.value.lower()), contact)
    return sorted(found.values(), key=lambda contact: contact.kind)


def of_people(session: Session, person_ids: Sequence[UUID]) -> dict[UUID, list[Contact]]:
    """The addresses of people, in one query; people without one are left out."""
    statement = select(Address).where(Address.person_id.in_(person_ids)).order_by(Address.kind, Address.position)
    found: dict[UUID, list[Contact]] = {}
    for row in session.scalars(statement):
        found.setdefault(row.person_id, []).append(Contact(AddressKind(row.kind), row.value, row.label))
    return found


def write(session: Session, person_id: UUID, contacts: Sequence[Contact]) -> None:
    """Give a person exactly these addresses. The person's row is new or locked."""
    session.execute(delete(Address).where(Address.person_id == person_id))
    rows = [
        {
            "person_id": person_id,
            "kind": contact.kind,
            "value": contact.value,
            "position": position,
            "label": contact.label,
        }
        for position, contact in enumerate(contacts)
    ]
    if rows:
        session.execute(insert(Address), rows)


def in_use(kind: AddressKind) -> ScalarSelect[str]:
    """The address of a kind that is used for the person of the statement around it."""
    return (
        select(Address.value)
        .where(Address.person_id == Person.id, Address.kind == int(kind))
        .order_by(Address.position)
        .limit(1)
        .correlate(Person)
        .scalar_subquery()
    )


def only_owner(session: Session, value: str) -> UUID | None:
    """The person who has this address, if it is exactly one."""
    statement = select(Address.person_id).where(func.lower(Address.value) == value.strip().lower()).distinct().limit(2)
    owners = session.scalars(statement).all()
    return owners[0] if len(owners) == 1 else None
