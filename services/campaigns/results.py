"""Results: the counts of a campaign, taken from the ledger in one statement and so of one moment."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Label, Select, func, select, true
from sqlalchemy.orm import Session

from services.campaigns.models import ENGAGED, Recipient, RecipientState


@dataclass(frozen=True, slots=True)
class Results:
    """Counts of rows by state and of skipped ones by reason; people by what they did."""

    by_state: Mapping[RecipientState, int]
    skipped_by_reason: Mapping[int, int]
    # `opened`, `clicked`, `complained`, `unsubscribed`, `replied`, `machine_opened`.
    engaged: Mapping[str, int]

    @property
    def recipients(self) -> int:
        """How many are in the ledger."""
        return sum(self.by_state.values())

    @property
    def planned(self) -> int:
        """How many wait for an outcome."""
        return self.by_state.get(RecipientState.PLANNED, 0)


def counting(campaign_id: UUID) -> Select[Any, Any]:
    """The one statement that counts: a row for each state and reason, each with the counts of who did something."""
    engaged = select(*_engaged_counts()).where(Recipient.campaign_id == campaign_id, ENGAGED).subquery()
    counted = (
        select(Recipient.state, Recipient.skip_reason, func.count().label("people"))
        .where(Recipient.campaign_id == campaign_id)
        .group_by(Recipient.state, Recipient.skip_reason)
        .subquery()
    )
    # An outer join, since a campaign without recipients has no groups but still one row of zeros.
    return select(engaged, counted).outerjoin_from(engaged, counted, true())


def results_of(session: Session, campaign_id: UUID) -> Results:
    """The exact counts at this moment."""
    rows = session.execute(counting(campaign_id)).all()
    by_state: dict[RecipientState, int] = {}
    by_reason: dict[int, int] = {}
    for row in rows:
        if row.state is None:
            continue
        state = RecipientState(row.state)
        by_state[state] = by_state.get(state, 0) + row.people
        if state == RecipientState.SKIPPED:
            by_reason[row.skip_reason] = row.people
    return Results(by_state, by_reason, {label.name: getattr(rows[0], label.name) for label in _engaged_counts()})


def _engaged_counts() -> list[Label[int]]:
    """Counts of people; a column's count leaves out those for whom it is empty."""
    only_machine = func.count().filter(Recipient.machine_open_time.is_not(None), Recipient.open_time.is_(None))
    return [
        func.count(Recipient.open_time).label("opened"),
        func.count(Recipient.click_time).label("clicked"),
        func.count(Recipient.complaint_time).label("complained"),
        func.count(Recipient.unsubscribe_time).label("unsubscribed"),
        func.count(Recipient.reply_time).label("replied"),
        only_machine.label("machine_opened"),
    ]
