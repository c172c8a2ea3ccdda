"""Words of the contract that the rules speak in, and the guard: a state only ever moves to a higher rank.

SCHEDULED < UNKNOWN < SENT < DELIVERED < BOUNCED, FAILED and SKIPPED. So the end is the same in whatever order
receipts come. Only a sender who surely did not hand a message over puts it back to SCHEDULED.
"""

from enum import IntEnum

from sqlalchemy import ColumnElement, SQLColumnExpression, case


class Channel(IntEnum):
    """A way to reach a person."""

    EMAIL = 1
    SMS = 2
    VOICE = 3


class State(IntEnum):
    """Where a message stands."""

    SCHEDULED = 1
    SENDING = 2
    SENT = 3
    DELIVERED = 4
    BOUNCED = 5
    FAILED = 6
    SKIPPED = 7
    UNKNOWN = 8


class Skip(IntEnum):
    """Why a message was not sent."""

    NONE = 0
    SUPPRESSED = 1
    CONSENT_WITHDRAWN = 2
    FREQUENCY_CAP = 3
    EXPIRED = 4
    CANCELLED = 5
    PERSON_DELETED = 6


class Command(IntEnum):
    """What is to happen with a campaign's messages that are not yet in a provider's hands."""

    RUN = 1
    HOLD = 2
    DROP = 3


RANK = {
    State.SCHEDULED: 0,
    State.SENDING: 0,
    State.UNKNOWN: 1,
    State.SENT: 2,
    State.DELIVERED: 3,
    State.BOUNCED: 4,
    State.FAILED: 4,
    State.SKIPPED: 4,
}

WORDS = {
    Skip.SUPPRESSED: "the address is on the suppression list",
    Skip.CONSENT_WITHDRAWN: "consent was withdrawn",
    Skip.FREQUENCY_CAP: "the person had as many messages as the policy allows",
    Skip.EXPIRED: "it could not be sent before its expiry",
    Skip.CANCELLED: "the campaign was cancelled",
    Skip.PERSON_DELETED: "the person was deleted",
}


def moves(before: State, after: State) -> bool:
    """Whether a message in the one state may go to the other."""
    return RANK[after] > RANK[before]


def rank(state: SQLColumnExpression[int]) -> ColumnElement[int]:
    """The rank of a column's state, in SQL."""
    return case({int(each): place for each, place in RANK.items()}, value=state)


def rank_sql(state: str) -> str:
    """The same for SQL that is written out; `state` is the name of a column."""
    branches = " ".join(f"WHEN {int(each)} THEN {place}" for each, place in RANK.items())
    return f"(CASE {state} {branches} END)"
