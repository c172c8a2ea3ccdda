"""What became of messages moves rows forward only, whatever the order in which it is told."""

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.moments import timestamp
from denda.campaigns.v1 import campaign_pb2 as pb
from denda.campaigns.v1.campaigns_service_pb2_grpc import CampaignsServiceStub
from denda.contacts.v1.events_pb2 import ConsentChange, ConsentsChanged, PersonDeleted
from denda.notifications.v1.events_pb2 import MessageChange, MessageReceived, MessagesChanged
from services.campaigns import events, jobs, outcomes
from services.campaigns.models import Recipient, RecipientState, database
from tests.campaigns.neighbours import Neighbours, a_candidate, person_id
from tests.campaigns.stories import (
    a_change,
    counted_statements,
    hear,
    launched,
    message_of,
    planned,
    recipients,
    results,
    stamp,
)

STATES = ["SCHEDULED", "SENDING", "SENT", "DELIVERED", "BOUNCED", "FAILED", "SKIPPED", "UNKNOWN"]


def test_a_message_goes_its_way_to_delivered(marketer: CampaignsServiceStub) -> None:
    campaign = planned(marketer)
    for version, state in enumerate(["SCHEDULED", "SENDING", "SENT", "DELIVERED"], start=1):
        hear(a_change(campaign, 1, state, version, detail=state))
    first = recipients(marketer, campaign)[0]
    assert (first.state, first.detail) == (pb.RECIPIENT_STATE_DELIVERED, "DELIVERED")
    counts = results(marketer, campaign)
    assert (counts.planned, counts.delivered, counts.recipients) == (2, 1, 3)


@pytest.mark.parametrize("terminal", ["BOUNCED", "FAILED", "SKIPPED"])
def test_a_final_outcome_is_not_left(marketer: CampaignsServiceStub, terminal: str) -> None:
    campaign = planned(marketer)
    hear(a_change(campaign, 1, terminal, 5))
    hear(a_change(campaign, 1, "SENT", 9), a_change(campaign, 1, "DELIVERED", 10))
    assert pb.RecipientState.Name(recipients(marketer, campaign)[0].state) == f"RECIPIENT_STATE_{terminal}"


def test_an_unknown_outcome_gives_way_to_a_known_one(marketer: CampaignsServiceStub) -> None:
    campaign = planned(marketer)
    hear(a_change(campaign, 1, "UNKNOWN", 3), a_change(campaign, 2, "UNKNOWN", 3))
    hear(a_change(campaign, 1, "DELIVERED", 4))
    found = recipients(marketer, campaign)
    assert [one.state for one in found[:2]] == [pb.RECIPIENT_STATE_DELIVERED, pb.RECIPIENT_STATE_UNKNOWN]


def test_reasons_for_skipping_are_told_and_counted(marketer: CampaignsServiceStub, neighbours: Neighbours) -> None:
    reasons = ["SUPPRESSED", "CONSENT_WITHDRAWN", "FREQUENCY_CAP", "EXPIRED", "CANCELLED", "PERSON_DELETED"]
    neighbours.candidates = [a_candidate(number) for number in range(1, 7)]
    campaign = planned(marketer)
    hear(
        *[
            a_change(campaign, number, "SKIPPED", skip_reason=f"SKIP_REASON_{reason}")
            for number, reason in enumerate(reasons, start=1)
        ]
    )
    assert dict(results(marketer, campaign).skipped_by_reason) == dict.fromkeys(reasons, 1)


def test_complaints_replies_and_unsubscribes_count_people(marketer: CampaignsServiceStub) -> None:
    campaign = planned(marketer)
    hear(a_change(campaign, 1, "DELIVERED", 2, complained=True))
    hear(a_change(campaign, 1, "DELIVERED", 3, complained=True), a_change(campaign, 1, "SENT", 1))
    for _ in range(2):
        withdrawal = ConsentChange(message_id=str(message_of(campaign, 2)), withdrawn=True, time=stamp())
        grant = ConsentChange(message_id=str(message_of(campaign, 1)), withdrawn=False, time=stamp())
        elsewhere = ConsentChange(withdrawn=True, time=stamp())
        answer = MessageReceived(in_reply_to_message_id=str(message_of(campaign, 3)), time=stamp())
        with database.transaction() as session:
            events.on_consents_changed(session, [ConsentsChanged(changes=[withdrawal, grant, elsewhere])])
            events.on_message_received(session, [answer, MessageReceived(time=stamp())])
    counts = results(marketer, campaign)
    assert (counts.complained, counts.unsubscribed, counts.replied) == (1, 1, 1)


def test_what_belongs_to_no_campaign_has_no_effect(marketer: CampaignsServiceStub) -> None:
    campaign = planned(marketer)
    hear(a_change(campaign, 1, "SENT", campaign_id=""), a_change(campaign, 99, "SENT"))
    assert results(marketer, campaign).planned == 3


def test_a_deleted_person_stays_in_the_figures_without_an_address(
    marketer: CampaignsServiceStub, neighbours: Neighbours
) -> None:
    over, running = planned(marketer), launched(marketer)
    with database.transaction() as session:
        session.add_all([_row(UUID(running.id), 1)])
    with database.transaction() as session:
        events.on_person_deleted(session, [PersonDeleted(person_id=str(person_id(1)))])
    assert results(marketer, over).recipients == 3
    assert _digests(over, 1) == [None]
    # While the plan goes on, the digest still keeps others at the address from a second message.
    assert _digests(running, 1) != [None]
    while jobs.plan():
        pass
    assert _digests(running, 1) == [None]


def test_a_thousand_changes_take_two_statements(marketer: CampaignsServiceStub, neighbours: Neighbours) -> None:
    neighbours.candidates = [a_candidate(number) for number in range(1, 1001)]
    campaign = planned(marketer)
    changes = [a_change(campaign, number, "SENT") for number in range(1, 1001)]
    with counted_statements(database.engine) as statements:
        hear(*changes)
    assert len(statements) == 2
    assert results(marketer, campaign).sent == 1000


changes_of_two_people = st.dictionaries(
    st.tuples(st.integers(1, 2), st.integers(1, 8)),
    st.tuples(st.sampled_from(STATES), st.booleans(), st.integers(0, 5), st.sampled_from(["", "said"])),
    min_size=1,
    max_size=10,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=changes_of_two_people, seed=st.integers(0, 10**6), batches=st.integers(1, 4))
def test_changes_in_any_order_and_doubled_have_the_same_end(
    migrated: Any, told: dict[tuple[int, int], tuple[str, bool, int, str]], seed: int, batches: int
) -> None:
    migrated("campaigns")
    campaign = pb.Campaign(id="018f0000-0000-7000-8000-00000000cccc")
    start = now()
    changes = [
        a_change(
            campaign,
            number,
            state,
            version,
            complained=complained,
            detail=detail,
            time=timestamp(start + timedelta(seconds=seconds)),
        )
        for (number, version), (state, complained, seconds, detail) in told.items()
    ]
    shuffled = changes * 2
    random.Random(seed).shuffle(shuffled)
    in_order = _end_of(campaign, [changes])
    assert _end_of(campaign, [shuffled[place::batches] for place in range(batches)]) == in_order


def test_a_row_never_goes_back(marketer: CampaignsServiceStub) -> None:
    campaign = planned(marketer)
    ranks = [0]
    changes = [a_change(campaign, 1, state, version, detail=".") for version in (1, 2, 3) for state in STATES]
    random.Random(7).shuffle(changes)
    for change in changes:
        hear(change)
        with database.transaction() as session:
            state = session.scalars(select(Recipient.state).where(Recipient.person_id == person_id(1))).one()
        ranks.append(outcomes.RANKS[RecipientState(state)])
    assert ranks == sorted(ranks)
    assert ranks[-1] == 4


def _end_of(campaign: pb.Campaign, batches: Sequence[Sequence[MessageChange]]) -> list[tuple[object, ...]]:
    """Where two fresh rows are after these batches; nothing of it is kept."""
    with Session(database.engine) as session:
        session.add_all([_row(UUID(campaign.id), number) for number in (1, 2)])
        session.flush()
        for batch in batches:
            events.on_messages_changed(session, [MessagesChanged(changes=batch)])
        rows = session.execute(
            select(
                Recipient.state,
                Recipient.skip_reason,
                Recipient.detail,
                Recipient.message_version,
                Recipient.sent_time,
                Recipient.complaint_time,
            ).order_by(Recipient.person_id)
        ).all()
        session.rollback()
    return [tuple(row) for row in rows]


def _row(campaign_id: UUID, number: int) -> Recipient:
    campaign = pb.Campaign(id=str(campaign_id))
    return Recipient(
        campaign_id=campaign_id,
        step=0,
        person_id=person_id(number),
        message_id=message_of(campaign, number),
        address_digest=number.to_bytes(16, "big"),
        state=RecipientState.PLANNED,
        state_time=now(),
    )


def _digests(campaign: pb.Campaign, number: int) -> list[bytes | None]:
    wanted = Recipient.campaign_id == UUID(campaign.id), Recipient.person_id == person_id(number)
    with database.transaction() as session:
        return list(session.scalars(select(Recipient.address_digest).where(*wanted)))
