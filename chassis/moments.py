"""Moments between rows and messages."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from chassis.errors import InvalidArgument


def timestamp(moment: datetime | None) -> Timestamp | None:
    """A moment as a message's field takes it; None leaves the field unset."""
    if moment is None:
        return None
    made = Timestamp()
    made.FromDatetime(moment)
    return made


def moment_of(time: Timestamp, field: str) -> datetime:
    """A moment of a request. Raises InvalidArgument for one outside of the years 1 to 9999."""
    try:
        return time.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument(field, "is not a moment of the years 1 to 9999") from None
