"""Moments between rows and messages."""

from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from chassis.errors import InvalidArgument

EPOCH = datetime.fromtimestamp(0, UTC)


def timestamp(moment: datetime | None) -> Any:
    """A moment, aware, as a message's constructor takes it; None leaves the field unset."""
    if moment is None:
        return None
    # A Timestamp would be made and then copied, and the moment itself takes five times as long: lists feel it.
    since = moment - EPOCH
    return {"seconds": since.days * 86_400 + since.seconds, "nanos": since.microseconds * 1000}


def moment_of(time: Timestamp, field: str = "time") -> datetime:
    """A moment of a message, aware, in UTC. Raises InvalidArgument for one outside of the years 1 to 9999."""
    try:
        return time.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument(field, "is not a moment of the years 1 to 9999") from None
