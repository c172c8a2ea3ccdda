"""Providers take messages out of our hands. Each says of every message what became of it, or that nobody knows.

A provider never raises for one recipient's trouble and never sends anything twice. What it did not surely give
away it answers as RELEASED; what it may have given away as UNKNOWN.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol
from uuid import UUID

from services.notifications.states import Channel


class Answer(StrEnum):
    """What a provider says of one message."""

    TAKEN = "taken"
    # The address does not exist or refuses for good.
    BOUNCED = "bounced"
    # Refused for good, and not because of the address.
    REFUSED = "refused"
    # Refused for now.
    DEFERRED = "deferred"
    # Not tried, or surely not taken: the provider could not be reached.
    RELEASED = "released"
    # Handed over, and the answer was lost.
    UNKNOWN = "unknown"


class Parcel(NamedTuple):
    """A message as a provider gets it; `raw` is the whole mail, empty for SMS and voice.

    A mail's text and HTML are set only for a provider that wants them apart.

    `reference` is its name that the recipient's side may know: the Message-ID of a mail, else the message's id.
    """

    message_id: UUID
    channel: Channel
    address: str
    sender: str
    subject: str
    text: str
    html: str
    reference: str
    raw: bytes = b""
    # The address needs SMTPUTF8 (RFC 6531).
    utf8: bool = False


class Outcome(NamedTuple):
    """A provider's answer, in its own words; `reference` is its name for the message."""

    answer: Answer
    detail: str = ""
    reference: str = ""


class Provider(Protocol):
    """Takes messages of some channels."""

    name: str
    # How many messages are handed over at once: so many may be UNKNOWN when a sender is killed.
    group: int
    # It wants text and HTML apart from the mail that contains them.
    whole: bool

    def send(self, parcels: Sequence[Parcel]) -> list[Outcome]:
        """Hand messages over; answers an outcome for each, in order."""

    def look_up(self, message_ids: Sequence[UUID]) -> Mapping[UUID, bool]:
        """Whether it took these messages, of those of which it can say."""

    def check(self) -> None:
        """Raise what is wrong when the provider cannot be reached."""
