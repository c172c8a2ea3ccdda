"""Values of the contracts in our own terms, and back: moments and channels."""

from typing import cast

from denda.types.v1.channel_pb2 import Channel


def channel_value(number: int) -> Channel.ValueType:
    """A channel's number as the contract's type."""
    return cast("Channel.ValueType", number)
