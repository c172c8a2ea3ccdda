from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text, update

from denda.campaigns.v1.events_pb2 import CampaignControlled
from denda.contacts.v1.events_pb2 import ConsentChange, ConsentsChanged, PersonDeleted
from denda.notifications.v1 import messages_service_pb2 as pb
from denda.notifications.v1.events_pb2 import MessagesChanged
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL
from services.notifications.ledger import claims, recovery, sending
from services.notifications.ledger.governor import Governor
from services.notifications.ledger.record import Result, record
from services.notifications.letters import write
from services.notifications.messages import history_of
from services.notifications.models import Message, Outgoing, UnknownOutcome, database
from services.notifications.providers import Answer, Outcome, Parcel
from services.notifications.providers.sandbox import Sandbox
from services.notifications.states import Channel, Skip, State
from tests.conftest import FrozenClock
from tests.kit.doors import Doors
from tests.notifications.things import a_plan, a_template, accepted, messages_stub, sent, told


def states() -> dict[State, int]:
    with database.transaction() as session:
        rows = session.execute(select(Message.state, func.count()).group_by(Message.state)).all()
    return {State(state): count for state, count in rows}


def skips() -> dict[Skip, int]:
    with database.transaction() as session:
        rows = session.execute(select(Message.skip_reason, func.count()).group_by(Message.skip_reason)).all()
    return {Skip(reason): count for reason, count in rows}


def control(campaign_id: str, command: CampaignControlled.Command.ValueType, version: int = 1) -> None:
    told(CampaignControlled(campaign_id=campaign_id, command=command, version=version))


def withdraw(person_id: str, *, withdrawn: bool = True, moment: Any) -> None:
    change = ConsentChange(person_id=person_id, purpose="marketing", channel=CHANNEL_EMAIL, withdrawn=withdrawn)
    change.time.FromDatetime(moment)
    told(ConsentsChanged(changes=[change]))


def claimed(provider: Any = None) -> claims.Claim:
    turn = claims.next_turn(Channel.EMAIL, None)
    assert turn, "nothing can be claimed"
    with database.transaction() as session:
        return claims.claim_bulk(session, Channel.EMAIL, provider or Sandbox(), turn)


def test_a_campaign_that_is_planned_twice_is_sent_and_told_once(doors: Doors) -> None:
    plan = a_plan(a_template(doors), people=3)
    accepted(plan, plan)
    sent()
    found = messages_stub(doors).ListMessages(pb.ListMessagesRequest(campaign_id=plan.campaign_id)).messages
    assert states() == {State.SENT: 3}
    kept = messages_stub(doors).ListSandboxMessages(pb.ListSandboxMessagesRequest()).messages
    assert {message.id for message in kept} == {message.id for message in found}
    changed = [change for event in doors.events("notifications") for change in event.changes]
    assert sorted(change.message_id for change in changed) == sorted(message.id for message in found)
    assert {change.summary for change in changed} == {"News for Ane 0", "News for Ane 1", "News for Ane 2"}
    told_of = messages_stub(doors).ListMessageEvents(pb.ListMessageEventsRequest(message_id=found[0].id)).events
    assert [event.kind for event in told_of] == ["accepted", "sent"]
    assert {message.provider_reference for message in found} == {
        each.raw.decode().partition("Message-ID: ")[2].partition("\r\n")[0] for each in kept
    }


def test_changes_carry_the_version_that_counts_them(doors: Doors) -> None:
    accepted(a_plan(a_template(doors)))
    sent()
    [event] = [event for event in doors.events("notifications") if isinstance(event, MessagesChanged)]
    assert [change.version for change in event.changes] == [2]


def test_a_claimed_message_is_shown_as_sending_and_claimed_by_nobody_else(doors: Doors) -> None:
    accepted(a_plan(a_template(doors), people=2))
    assert len(claimed().rows) == 2
    assert claims.next_turn(Channel.EMAIL, None) is None
    stub = messages_stub(doors)
    assert len(stub.ListMessages(pb.ListMessagesRequest(state=int(State.SENDING))).messages) == 2  # type: ignore[arg-type]
    assert not stub.ListMessages(pb.ListMessagesRequest(state=int(State.SCHEDULED))).messages  # type: ignore[arg-type]


def test_a_sender_that_dies_leaves_unknown_only_what_was_in_its_hands(
    doors: Doors, scripted: "Scripted", frozen_clock: FrozenClock
) -> None:
    accepted(a_plan(a_template(doors), people=5))
    lost = {row.id for row in claimed(scripted).rows}
    with database.transaction() as session:
        session.execute(update(Outgoing).where(Outgoing.message_id.in_(lost)).values(provider="smtp"))
    frozen_clock.advance(seconds=91)
    recovery.end_leases()
    frozen_clock.advance(seconds=31)
    recovery.reconcile()
    sent()
    assert states() == {State.SENT: 3, State.UNKNOWN: 2}
    assert not lost & set(scripted.asked)


@pytest.mark.parametrize("taken", [True, False])
def test_a_provider_that_knows_settles_what_is_unknown(doors: Doors, frozen_clock: FrozenClock, *, taken: bool) -> None:
    accepted(a_plan(a_template(doors)))
    claim = claimed()
    if taken:
        Sandbox().send([write(claim.rows[0], frozen_clock())])
    frozen_clock.advance(seconds=91)
    recovery.end_leases()
    assert states() == {State.UNKNOWN: 1}
    frozen_clock.advance(seconds=31)
    recovery.reconcile()
    assert states() == {State.SENT if taken else State.SCHEDULED: 1}
    sent()
    assert states() == {State.SENT: 1}
    assert len(messages_stub(doors).ListSandboxMessages(pb.ListSandboxMessagesRequest()).messages) == 1
    with database.transaction() as session:
        assert not session.scalars(select(UnknownOutcome)).all()


def test_a_slow_sender_keeps_its_lease(doors: Doors, frozen_clock: FrozenClock) -> None:
    accepted(a_plan(a_template(doors)))
    claim = claimed()
    for _ in range(10):
        frozen_clock.advance(seconds=10)
        with database.transaction() as session:
            claims.renew(session, [claim.id])
        recovery.end_leases()
    assert states() == {State.SCHEDULED: 1}
    assert claims.next_turn(Channel.EMAIL, None) is None


def test_a_sender_renews_the_leases_of_what_it_has_in_hand(
    doors: Doors, scripted: "Scripted", frozen_clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(parcels: Any) -> list[Outcome]:
        for _ in range(10):
            frozen_clock.advance(seconds=10)
            sending.renew_leases()
            recovery.end_leases()
        return [Outcome(Answer.TAKEN) for _ in parcels]

    monkeypatch.setattr(scripted, "send", slowly)
    accepted(a_plan(a_template(doors), people=2))
    sending.send_bulk(Channel.EMAIL)
    assert states() == {State.SENT: 2}
    with database.transaction() as session:
        assert set(session.scalars(select(Message.version))) == {2}


def test_a_sender_that_slept_beyond_its_lease_hands_nothing_over(
    doors: Doors, scripted: "Scripted", frozen_clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asleep(row: Any, moment: Any, **more: Any) -> Parcel:
        frozen_clock.advance(seconds=46)
        recovery.end_leases()
        return write(row, moment, **more)

    accepted(a_plan(a_template(doors)))
    monkeypatch.setattr(sending, "write", asleep)
    sending.send_bulk(Channel.EMAIL)
    assert not scripted.asked
    assert states() == {State.UNKNOWN: 1}


def test_what_a_late_sender_gives_back_stays_in_the_hands_of_the_next(doors: Doors, frozen_clock: FrozenClock) -> None:
    accepted(a_plan(a_template(doors)))
    slow = claimed()
    with database.transaction() as session:
        session.execute(update(Outgoing).values(claim=None))
    quick = claimed()
    with database.transaction() as session:
        record(session, "sandbox", [Result(slow.rows[0].id, State.SCHEDULED, retry_time=frozen_clock())], slow.id)
        assert session.scalars(select(Outgoing.claim)).one() == quick.id


class Scripted(Sandbox):
    """A provider that answers what it was told to."""

    group = 2

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[UUID] = []
        # The governor's clock.
        self.seconds = 0.0

    def send(self, parcels: Any) -> list[Outcome]:
        taken: list[Parcel] = list(parcels)
        self.asked += [parcel.message_id for parcel in taken]
        return [Outcome(self.answers.pop(0) if self.answers else Answer.TAKEN, "scripted") for _ in taken]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    provider = Scripted()
    monkeypatch.setattr(sending, "provider_of", lambda channel: provider)
    monkeypatch.setattr(sending, "governor", Governor(lambda: provider.seconds))
    return provider


def test_each_answer_is_its_messages_own(doors: Doors, scripted: Scripted) -> None:
    scripted.answers = [Answer.TAKEN, Answer.BOUNCED, Answer.REFUSED, Answer.DEFERRED, Answer.UNKNOWN]
    accepted(a_plan(a_template(doors), people=6))
    for _ in range(3):
        sending.send_bulk(Channel.EMAIL)
    assert states() == {State.SENT: 2, State.BOUNCED: 1, State.FAILED: 1, State.SCHEDULED: 1, State.UNKNOWN: 1}
    with database.transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM suppression")) == 1


def test_what_is_released_goes_out_again_and_the_provider_is_left_alone_first(doors: Doors, scripted: Scripted) -> None:
    scripted.answers = [Answer.TAKEN, Answer.RELEASED]
    accepted(a_plan(a_template(doors), people=6))
    sending.send_bulk(Channel.EMAIL)
    assert len(scripted.asked) == 2
    assert states() == {State.SENT: 1, State.SCHEDULED: 5}
    assert not sending.send_bulk(Channel.EMAIL)
    assert len(scripted.asked) == 2
    scripted.seconds += 2
    sent()
    assert states() == {State.SENT: 6}
    with database.transaction() as session:
        assert set(session.scalars(select(Message.attempts))) == {1}


def test_a_provider_that_takes_some_before_it_breaks_off_is_not_left_alone_for_longer_each_time(
    doors: Doors, scripted: Scripted
) -> None:
    scripted.answers = [Answer.TAKEN, Answer.RELEASED] * 4
    accepted(a_plan(a_template(doors), people=6))
    for _ in range(4):
        sending.send_bulk(Channel.EMAIL)
        scripted.seconds += 2
    sent()
    assert states() == {State.SENT: 6}


def test_a_deferred_message_waits_longer_each_time_and_expires_in_the_end(
    doors: Doors, scripted: Scripted, frozen_clock: FrozenClock
) -> None:
    scripted.answers = [Answer.DEFERRED] * 1000
    accepted(a_plan(a_template(doors)))
    waits = []
    for _ in range(5):
        sending.send_bulk(Channel.EMAIL)
        with database.transaction() as session:
            due = session.scalars(select(Outgoing.due_time)).one()
        waits.append((due - frozen_clock()).total_seconds())
        frozen_clock.moment = due
    assert waits == sorted(waits)
    assert len(scripted.asked) == 5
    frozen_clock.advance(hours=73)
    recovery.expire()
    assert skips() == {Skip.EXPIRED: 1}
    with database.transaction() as session:
        message = session.scalars(select(Message)).one()
        kinds = [happening.kind for happening in history_of(session, message.id)]
    assert kinds == ["accepted", *["deferred"] * 5, "skipped"]
    assert message.detail == "it could not be sent before its expiry; the last answer was: scripted"


def test_a_provider_whose_client_fails_leaves_unknown_what_it_had(
    doors: Doors, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_parcels: Any) -> list[Outcome]:
        raise ZeroDivisionError

    monkeypatch.setattr(scripted, "send", fail)
    accepted(a_plan(a_template(doors), people=5))
    sending.send_bulk(Channel.EMAIL)
    assert states() == {State.UNKNOWN: 2, State.SCHEDULED: 3}


def test_a_campaign_on_hold_is_not_claimed_until_it_runs(doors: Doors) -> None:
    plan = a_plan(a_template(doors), people=2)
    control(plan.campaign_id, CampaignControlled.COMMAND_HOLD)
    accepted(plan)
    sent()
    assert states() == {State.SCHEDULED: 2}
    control(plan.campaign_id, CampaignControlled.COMMAND_RUN, version=3)
    control(plan.campaign_id, CampaignControlled.COMMAND_HOLD, version=2)
    sent()
    assert states() == {State.SENT: 2}


def test_a_cancelled_campaign_is_skipped_whether_it_was_accepted_before_or_after(doors: Doors) -> None:
    template = a_template(doors)
    before, after = a_plan(template, people=2), a_plan(template, people=1)
    accepted(before)
    control(before.campaign_id, CampaignControlled.COMMAND_DROP)
    control(before.campaign_id, CampaignControlled.COMMAND_RUN, version=2)
    control(after.campaign_id, CampaignControlled.COMMAND_DROP)
    accepted(after)
    sent()
    recovery.drop_cancelled()
    assert skips() == {Skip.CANCELLED: 3}
    changes = [change for event in doors.events("notifications") for change in event.changes]
    assert len(changes) == 3
    assert {change.detail for change in changes} == {"the campaign was cancelled"}


def test_consent_withdrawn_after_acceptance_stops_the_message(doors: Doors, frozen_clock: FrozenClock) -> None:
    plan = a_plan(a_template(doors), people=2)
    accepted(plan)
    withdraw(plan.recipients[0].person_id, moment=frozen_clock())
    sent()
    assert states() == {State.SENT: 1, State.SKIPPED: 1}
    assert skips() == {Skip.CONSENT_WITHDRAWN: 1, Skip.NONE: 1}


def test_the_newest_word_on_consent_counts_in_whatever_order_it_comes(doors: Doors, frozen_clock: FrozenClock) -> None:
    plan = a_plan(a_template(doors), people=1)
    person = plan.recipients[0].person_id
    withdraw(person, withdrawn=False, moment=frozen_clock())
    withdraw(person, withdrawn=True, moment=frozen_clock() - timedelta(minutes=1))
    accepted(plan)
    sent()
    assert states() == {State.SENT: 1}


def test_deleted_people_are_forgotten_and_not_written_to(doors: Doors) -> None:
    template = a_template(doors)
    plan, later = a_plan(template, people=2), a_plan(template, people=1)
    accepted(plan)
    told(PersonDeleted(person_id=plan.recipients[0].person_id))
    accepted(later)
    sent()
    assert skips() == {Skip.PERSON_DELETED: 2, Skip.NONE: 1}
    with database.transaction() as session:
        rows = session.scalars(select(Message).where(Message.campaign_id == UUID(plan.campaign_id))).all()
    forgotten = next(row for row in rows if row.skip_reason == Skip.PERSON_DELETED)
    assert (forgotten.address, forgotten.merge_fields, forgotten.summary) == ("", {}, "")


def test_a_message_that_cannot_be_rendered_has_failed_for_that_reason(doors: Doors) -> None:
    plan = a_plan(a_template(doors), people=2)
    plan.recipients[0].merge_fields_json = ""
    accepted(plan)
    sent()
    assert states() == {State.FAILED: 1, State.SENT: 1}
    details = {change.detail for event in doors.events("notifications") for change in event.changes}
    assert "the merge field given_name is missing" in details


def test_campaigns_take_turns(doors: Doors, scripted: Scripted) -> None:
    template = a_template(doors)
    large, small = a_plan(template, people=3 * Scripted.group), a_plan(template, people=1)
    accepted(large)
    accepted(small)
    sending.send_bulk(Channel.EMAIL)
    sending.send_bulk(Channel.EMAIL)
    assert UUID(small.recipients[0].message_id) in scripted.asked
