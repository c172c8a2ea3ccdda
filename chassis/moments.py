"""Moments between rows and messages."""

from datetime import UTC, datetime
from typing import overload

from google.protobuf.timestamp_pb2 import Timestamp

from chassis.errors import InvalidArgument


@overload
def timestamp(moment: datetime) -> Timestamp: ...
@overload
def timestamp(moment: datetime | None) -> Timestamp | None: ...
def timestamp(moment: datetime | None) -> Timestamp | None:
    """A moment as a message's field takes it; None leaves the field unset."""
    if moment is None:
        return None
    made = Timestamp()
    made.FromDatetime(moment)
    return made


def moment_of(time: Timestamp, field: str = "time") -> datetime:
    """A moment of a message, aware, in UTC. Raises InvalidArgument for one outside of the years 1 to 9999."""
    try:
        return time.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument(field, "is not a moment of the years 1 to 9999") from None
