"""What an import was asked to do, and what the columns of its file mean."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any
from uuid import UUID

import phonenumbers

from chassis.errors import InvalidArgument
from services.contacts import addresses, attributes, texts
from services.contacts.attributes import Types
from services.contacts.models import Channel

KEYS = {1: "email", 2: "phone", 3: "external_id"}

# Fields of a person that a column may fill, in the order in which they are staged.
FIELDS = (
    "external_id",
    "given_name",
    "family_name",
    "display_name",
    "language",
    "time_zone",
    "lifecycle_stage",
    "tags",
    "email",
    "phone",
)
_MOST_CHARACTERS = {"external_id": 200, "given_name": 200, "family_name": 200, "display_name": 400}
_ATTRIBUTE = "attributes."


@dataclass(frozen=True)
class PlannedConsent:
    """Consent that comes with the file; without a column, for everybody in it."""

    purpose: str
    channel: Channel
    column: str = ""
    basis: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Plan:
    """What to make of a file; `key` is one of KEYS."""

    import_id: UUID
    key: str
    file_name: str = ""
    mapping: Mapping[str, str] = field(default_factory=dict)
    dry_run: bool = False
    region: str = ""
    consents: Sequence[PlannedConsent] = ()
    delimiter: str = ","

    def digest(self) -> bytes:
        """What makes it this plan; a file may be renamed on its way."""
        told = {name: value for name, value in asdict(self).items() if name != "file_name"}
        return sha256(json.dumps(told, default=str, sort_keys=True).encode()).digest()


@dataclass(frozen=True)
class Column:
    """A column that is taken: `convert` makes a cell a value or raises ValueError."""

    index: int
    name: str
    field: str
    convert: Callable[[str], Any]


@dataclass(frozen=True)
class Columns:
    """What the header means."""

    width: int
    taken: Sequence[Column]
    # Index of the column that says yes for each planned consent; None where everybody agreed.
    consents: Sequence[int | None]
    ignored: Sequence[str]


def check(plan: Plan) -> None:
    """Raises InvalidArgument for what is wrong with a plan whatever its file is."""
    if plan.region and plan.region not in phonenumbers.SUPPORTED_REGIONS:
        raise InvalidArgument("plan.default_region", f"{plan.region!r} is not a region such as `ES`")
    if plan.delimiter in '"\r\n\0 ':
        raise InvalidArgument("plan.delimiter", f"{plan.delimiter!r} cannot separate cells")
    topics = [(consent.purpose, consent.channel) for consent in plan.consents]
    if len(set(topics)) < len(topics):
        raise InvalidArgument("plan.consents", "names the same purpose and channel twice")


def columns(plan: Plan, header: Sequence[str], types: Types) -> Columns:
    """What the columns of a file mean. Raises InvalidArgument for columns and fields that do not exist."""
    mapping = plan.mapping or _by_name(header, types)
    for name in [*mapping, *(consent.column for consent in plan.consents if consent.column)]:
        if name not in header:
            raise InvalidArgument("plan.mapping", f"the file has no column {name!r}; it has: {', '.join(header)}")
    fields = list(mapping.values())
    if twice := next((name for name in fields if fields.count(name) > 1), ""):
        raise InvalidArgument("plan.mapping", f"two columns fill the field {twice!r}")
    if plan.key not in fields:
        raise InvalidArgument("plan.key", f"no column of the file fills {plan.key!r}, by which people are recognised")
    taken = [
        Column(header.index(name), name, target, _converter(target, types, plan.region))
        for name, target in mapping.items()
    ]
    asked = [header.index(consent.column) if consent.column else None for consent in plan.consents]
    ignored = [name for index, name in enumerate(header) if name not in mapping and index not in asked]
    return Columns(len(header), sorted(taken, key=lambda column: column.index), asked, ignored)


def _by_name(header: Sequence[str], types: Types) -> dict[str, str]:
    """Columns that are called like a field or an attribute; the first of two that differ only in spelling."""
    known = {name: name for name in FIELDS} | {f"{_ATTRIBUTE}{name}": f"{_ATTRIBUTE}{name}" for name in types}
    known |= {name: f"{_ATTRIBUTE}{name}" for name in types}
    found: dict[str, str] = {}
    for name in header:
        target = known.get(name.lower().replace(" ", "_"))
        if target and target not in found.values():
            found[name] = target
    return found


def _converter(target: str, types: Types, region: str) -> Callable[[str], Any]:
    if target.startswith(_ATTRIBUTE):
        name = target.removeprefix(_ATTRIBUTE)
        try:
            return attributes.from_text(attributes.known(name, types))
        except ValueError as error:
            raise InvalidArgument("plan.mapping", str(error)) from None
    if target == "phone":
        return partial(addresses.normalised_phone, region=region)
    if target in FIELDS:
        return _CONVERTERS.get(target) or partial(texts.one_line, most=_MOST_CHARACTERS.get(target, 64))
    there = ", ".join([*FIELDS, *(f"{_ATTRIBUTE}{name}" for name in types)])
    raise InvalidArgument("plan.mapping", f"there is no field {target[:64]!r}; there are: {there}")


def _tags(cell: str) -> str:
    """Tags as PostgreSQL writes an array of texts."""
    tags = texts.tags([tag for item in cell.split(";") if (tag := texts.one_line(item, most=1000))])
    quoted = (tag.replace("\\", "\\\\").replace('"', '\\"') for tag in tags)
    return "{" + ",".join(f'"{tag}"' for tag in quoted) + "}"


_CONVERTERS: dict[str, Callable[[str], Any]] = {
    "email": addresses.normalised_email,
    "language": texts.language,
    "time_zone": texts.time_zone,
    "tags": _tags,
}
