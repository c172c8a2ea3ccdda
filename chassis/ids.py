"""Identifiers: UUIDv7 (RFC 9562 §5.7), which sort by the time they were made."""

from uuid import UUID

from uuid_utils.compat import uuid7

from chassis.errors import InvalidArgument


def new_id() -> UUID:
    """A fresh UUIDv7."""
    return uuid7()


def parse_id(value: str, field: str = "id") -> UUID:
    """The UUID written in `value`. Raises InvalidArgument that names `field`."""
    try:
        return UUID(value)
    except ValueError:
        raise InvalidArgument(field, f"{value[:64]!r} is not a UUID") from None
