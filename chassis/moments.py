"""Moments between rows and messages."""

from datetime import UTC, datetime
from typing import overload

from google.protobuf.timestamp_pb2 import Timestamp

from chassis.errors import InvalidArgument

EPOCH = datetime.fromtimestamp(0, UTC)


@overload
def timestamp(moment: datetime) -> Timestamp: ...
@overload
def timestamp(moment: datetime | None) -> Timestamp | None: ...
def timestamp(moment: datetime | None) -> Timestamp | None:
    """A moment, aware, as a message's field takes it; None leaves the field unset."""
    if moment is None:
        return None
    # `FromDatetime` takes three times as long, which lists of people and events feel.
    since = moment - EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def moment_of(time: Timestamp, field: str = "time") -> datetime:
    """A moment of a message, aware, in UTC. Raises InvalidArgument for one outside of the years 1 to 9999."""
    try:
        return time.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument(field, "is not a moment of the years 1 to 9999") from None
