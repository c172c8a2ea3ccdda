"""What tickets, messages and mails can be; the numbers are those of the contract."""

from enum import IntEnum


class TicketState(IntEnum):
    """Where a ticket stands."""

    NEW = 1
    OPEN = 2
    PENDING = 3
    SOLVED = 4
    CLOSED = 5
    MERGED = 6


class Priority(IntEnum):
    """How much a ticket matters."""

    LOW = 1
    NORMAL = 2
    HIGH = 3
    URGENT = 4


class Source(IntEnum):
    """The way a ticket came in."""

    EMAIL = 1
    SMS = 2
    VOICE = 3
    WEB = 4
    API = 5


class Author(IntEnum):
    """Who wrote a message."""

    CUSTOMER = 1
    AGENT = 2
    SYSTEM = 3


class DeliveryState(IntEnum):
    """Where an agent's answer stands on its way; a customer's message has none (0)."""

    NONE = 0
    WAITING = 1
    ACCEPTED = 2
    SENT = 3
    DELIVERED = 4
    FAILED = 5


class InboundState(IntEnum):
    """Where a mail that came in stands."""

    RECEIVED = 1
    ACCEPTED = 2
    QUARANTINED = 3
    DUPLICATE = 4
    DISCARDED = 5


class InboundKind(IntEnum):
    """What sort of mail it is; 0 until it is read."""

    UNKNOWN = 0
    PERSONAL = 1
    AUTO_REPLY = 2
    BOUNCE = 3
    BULK = 4
    LOOP = 5


class MatchedBy(IntEnum):
    """How the ticket of a mail was found; 0 where there is none."""

    NONE = 0
    NOTHING = 1
    REPLY_ADDRESS = 2
    MESSAGE_ID = 3
    REFERENCES = 4
    BODY_MARK = 5
    SUBJECT = 6
