"""Identifiers: UUIDv7 (RFC 9562 §5.7), which sort by the time they were made."""

from uuid import UUID

import uuid_utils
from uuid_utils.compat import uuid7

from chassis.errors import InvalidArgument


def new_id() -> UUID:
    """A fresh UUIDv7."""
    return uuid7()


def new_id_text() -> str:
    """A fresh UUIDv7 as it is written, in a third of the time that it takes to make a UUID and to write it."""
    return str(uuid_utils.uuid7())


def parse_id(value: str, field: str = "id") -> UUID:
    """The UUID written in `value`. Raises InvalidArgument that names `field`."""
    try:
        return UUID(value)
    except ValueError:
        raise InvalidArgument(field, f"{value[:64]!r} is not a UUID") from None
