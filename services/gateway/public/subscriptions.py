"""What the signed token of an unsubscribe or preference link says; notifications makes it for each message."""

from dataclasses import dataclass
from uuid import UUID

from chassis.errors import InvalidArgument
from chassis.signing import sign, verify
from denda.types.v1.channel_pb2 import Channel
from services.gateway.clients import Topic

PURPOSE = "unsubscribe"
ID_BYTES = 16


@dataclass(frozen=True)
class Subscription:
    """Who received a message, which one, and what it was about."""

    person_id: UUID
    message_id: UUID
    topic: Topic


def subscription_of(token: str) -> Subscription:
    """What a token says. Raises InvalidArgument when it is not genuine."""
    payload = verify(PURPOSE, token)
    person, message, rest = payload[:ID_BYTES], payload[ID_BYTES : 2 * ID_BYTES], payload[2 * ID_BYTES :]
    if len(rest) < 2:
        raise InvalidArgument("token", "is not a token of this installation")
    topic = Topic(rest[1:].decode(), Channel.ValueType(rest[0]))
    return Subscription(UUID(bytes=person), UUID(bytes=message), topic)


def token_of(subscription: Subscription) -> str:
    """The token that says it; the other way round of `subscription_of`."""
    topic = subscription.topic
    ids = subscription.person_id.bytes + subscription.message_id.bytes
    return sign(PURPOSE, ids + bytes([topic.channel]) + topic.purpose.encode())
