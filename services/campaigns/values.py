"""Values of the contracts in our own terms, and back: moments and channels."""

from datetime import UTC, datetime
from typing import cast

from google.protobuf.timestamp_pb2 import Timestamp

from chassis.errors import InvalidArgument
from denda.types.v1.channel_pb2 import Channel


def channel_value(number: int) -> Channel.ValueType:
    """A channel's number as the contract's type."""
    return cast("Channel.ValueType", number)


def timestamp(moment: datetime) -> Timestamp:
    """A moment as protobuf writes it."""
    made = Timestamp()
    made.FromDatetime(moment)
    return made


def optional_timestamp(moment: datetime | None) -> Timestamp | None:
    """A moment as protobuf writes it, or nothing."""
    return timestamp(moment) if moment else None


def moment_from(stamp: Timestamp, field: str = "time") -> datetime:
    """A protobuf moment, aware, in UTC. Raises InvalidArgument that names `field` for one that no calendar has."""
    try:
        return stamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise InvalidArgument(field, "is not a moment between the years 1 and 9999") from None
