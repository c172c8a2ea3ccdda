from itertools import permutations
from uuid import UUID, uuid4, uuid5

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from chassis.clock import now
from denda.campaigns.v1.events_pb2 import RecipientsPlanned
from denda.notifications.v1.events_pb2 import MessageReceived, MessagesChanged
from services.notifications import customers, inbound, keywords, receipts
from services.notifications.ledger.claims import claim_bulk, next_turn
from services.notifications.ledger.record import Result, record
from services.notifications.mime import message_id_header
from services.notifications.models import Message, Outgoing, Receipt, SandboxMessage, Suppression, database
from services.notifications.providers.choice import provider_of
from services.notifications.receipts import Kind, Notice
from services.notifications.settings import settings
from services.notifications.states import RANK, Channel, State, moves
from services.notifications.suppressions import Reason, suppress_address
from tests.conftest import FrozenClock
from tests.gateway.support_stub import SupportStub
from tests.kit.doors import Doors
from tests.notifications.things import a_plan, a_template, accepted, an_sms_template, sent


def receive(*kinds: Kind, message_id: UUID) -> None:
    for kind in kinds:
        with database.transaction() as session:
            receipts.receive(session, [Notice(uuid5(message_id, kind), message_id, kind, now(), kind.value)])


def state_of(message_id: UUID) -> State:
    with database.transaction() as session:
        return State(session.get_one(Message, message_id).state)


def a_sent_message(doors: Doors) -> UUID:
    plan = a_plan(a_template(doors))
    # A bounce of one test must not suppress the other's.
    plan.recipients[0].address = f"{plan.campaign_id}@customer.example"
    accepted(plan)
    sent()
    return UUID(plan.recipients[0].message_id)


@given(st.permutations([Kind.SENT, Kind.DELIVERED, Kind.HARD_BOUNCE, Kind.COMPLAINT]), st.data())
@hypothesis_settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_order_of_receipts_gives_the_same_end(doors: Doors, order: list[Kind], data: st.DataObject) -> None:
    kinds = data.draw(st.lists(st.sampled_from(order), min_size=1, max_size=6))
    first, second = a_sent_message(doors), a_sent_message(doors)
    receive(*kinds, message_id=first)
    receive(*reversed(kinds), message_id=second)
    with database.transaction() as session:
        one, other = session.get_one(Message, first), session.get_one(Message, second)
    assert (one.state, one.complaint_time is None) == (other.state, other.complaint_time is None)
    ends = [receipts.STATES[kind] for kind in kinds if kind in receipts.STATES]
    expected = max([State.SENT, *ends], key=RANK.__getitem__)
    assert one.state == expected


@hypothesis_settings(deadline=None)
@given(st.sampled_from(list(State)), st.sampled_from(list(State)))
def test_terminal_states_are_never_left(before: State, after: State) -> None:
    if before in (State.BOUNCED, State.FAILED, State.SKIPPED):
        assert not moves(before, after)
    assert not (moves(before, after) and moves(after, before))


def test_a_receipt_that_comes_before_its_message_waits_for_it(doors: Doors) -> None:
    plan = a_plan(a_template(doors))
    message_id = UUID(plan.recipients[0].message_id)
    receive(Kind.DELIVERED, message_id=message_id)
    accepted(plan)
    sent()
    with database.transaction() as session:
        receipts.apply_waiting(session)
    assert state_of(message_id) == State.DELIVERED


def test_a_receipt_overtakes_the_sender_and_is_not_undone(doors: Doors) -> None:
    plan = a_plan(a_template(doors))
    accepted(plan)
    message_id = UUID(plan.recipients[0].message_id)
    with database.transaction() as session:
        turn = next_turn(Channel.EMAIL, None)
        assert turn
        claim = claim_bulk(session, Channel.EMAIL, provider_of(Channel.EMAIL), turn)
    receive(Kind.DELIVERED, message_id=message_id)
    with database.transaction() as session:
        record(session, "sandbox", [Result(message_id, State.SENT)], claim.id)
    assert state_of(message_id) == State.DELIVERED
    with database.transaction() as session:
        assert not session.scalars(select(Outgoing)).all()


def test_a_message_that_turns_out_to_be_delivered_is_not_sent(doors: Doors) -> None:
    plan = a_plan(a_template(doors))
    accepted(plan)
    receive(Kind.DELIVERED, message_id=UUID(plan.recipients[0].message_id))
    sent()
    with database.transaction() as session:
        assert not session.scalar(select(func.count()).select_from(SandboxMessage))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(Kind.HARD_BOUNCE, Reason.HARD_BOUNCE), (Kind.COMPLAINT, Reason.COMPLAINT), (Kind.SOFT_BOUNCE, None)],
)
def test_hard_bounces_and_complaints_suppress_and_soft_bounces_do_not(
    doors: Doors, kind: Kind, reason: Reason | None
) -> None:
    receive(kind, kind, message_id=a_sent_message(doors))
    with database.transaction() as session:
        found = session.scalars(select(Suppression.reason)).all()
    assert found == ([reason] if reason else [])


def test_a_complaint_is_told_and_is_no_bounce(doors: Doors) -> None:
    message_id = a_sent_message(doors)
    receive(Kind.COMPLAINT, message_id=message_id)
    assert state_of(message_id) == State.SENT
    last = [event for event in doors.events("notifications") if isinstance(event, MessagesChanged)][-1]
    assert [(change.complained, change.version) for change in last.changes] == [(True, 3)]


def test_receipts_that_nobody_needs_are_forgotten(doors: Doors, frozen_clock: FrozenClock) -> None:
    receive(Kind.DELIVERED, message_id=uuid4())
    frozen_clock.advance(days=8)
    with database.transaction() as session:
        receipts.prune(session)
        assert not session.scalars(select(Receipt)).all()


@pytest.mark.parametrize(
    "text",
    [
        "STOP",
        "stop.",
        " Stop! ",
        "STOPALL",
        "Unsubscribe",
        "OPT OUT",
        "opt-out",
        "BAJA",
        "baja por favor",
        "Gelditu",
        "ARRÊT",
        "STOPP",
        "stop please",
        "Cancelar",
        "Utzi mesedez",
    ],
)
def test_stop_is_understood_in_many_languages(text: str) -> None:
    assert keywords.wish_of(text) == keywords.Wish.STOP


@pytest.mark.parametrize(
    "text", ["", "!", "Thanks", "Don't stop me now", "When does it end?", "La baja de mi hijo", "???"]
)
def test_an_answer_like_any_other_is_no_wish(text: str) -> None:
    assert keywords.wish_of(text) is None


def an_answer(text: str, **changes: object) -> inbound.Inbound:
    fields: dict[str, object] = {
        "id": uuid4(),
        "channel": Channel.SMS,
        "from_address": "+34600000000",
        "to_address": "Denda",
        "subject": "",
        "text": text,
        "time": now(),
    }
    return inbound.Inbound(**(fields | changes))  # type: ignore[arg-type]


def an_sms_to(doors: Doors, number: str) -> RecipientsPlanned:
    plan = a_plan(an_sms_template(doors))
    plan.recipients[0].address = number
    accepted(plan)
    sent(Channel.SMS)
    return plan


def received(doors: Doors) -> list[MessageReceived]:
    return [event for event in doors.events("notifications") if isinstance(event, MessageReceived)]


def test_stop_suppresses_the_number_and_start_takes_that_back(doors: Doors) -> None:
    plan = an_sms_to(doors, "+34600000000")
    stop = an_answer("STOP")
    for _ in range(2):
        with database.transaction() as session:
            inbound.receive(session, [stop, stop])
    with database.transaction() as session:
        found = session.scalars(select(Suppression)).one()
        assert (found.channel, found.address, found.reason) == (Channel.SMS, "+34600000000", Reason.OPT_OUT)
    [event] = received(doors)
    assert event.in_reply_to_message_id == plan.recipients[0].message_id
    assert (event.person_id, event.campaign_id) == (plan.recipients[0].person_id, plan.campaign_id)
    with database.transaction() as session:
        inbound.receive(session, [an_answer("Start")])
        assert not session.scalars(select(Suppression)).all()


def test_start_does_not_undo_what_somebody_else_decided(doors: Doors) -> None:
    with database.transaction() as session:
        suppress_address(session, Channel.SMS, "+34600000000", Reason.MANUAL)
        inbound.receive(session, [an_answer("START")])
        assert len(session.scalars(select(Suppression)).all()) == 1


def test_a_mail_is_tied_to_the_message_it_answers_only_by_our_own_id(doors: Doors) -> None:
    message_id = a_sent_message(doors)
    ours = message_id_header(message_id, "denda.example")
    forged = f"<{message_id.hex}.0000000000000000@denda.example>"
    answers = [
        an_answer("STOP", channel=Channel.EMAIL, from_address="a@b.example", in_reply_to=reference)
        for reference in (ours, forged)
    ]
    with database.transaction() as session:
        inbound.receive(session, answers)
    assert [event.in_reply_to_message_id for event in received(doors)] == [str(message_id), ""]
    with database.transaction() as session:
        assert not session.scalars(select(Suppression)).all()


def test_the_sandbox_customers_do_what_they_do_and_always_the_same(
    doors: Doors, support: SupportStub, frozen_clock: FrozenClock
) -> None:
    accepted(a_plan(a_template(doors), people=200, track=True))
    sent()
    sms = a_plan(an_sms_template(doors), people=100)
    for number, recipient in enumerate(sms.recipients):
        recipient.address = f"+34600{number:06}"
    accepted(sms)
    sent(Channel.SMS)
    with database.transaction() as session:
        kept = session.scalars(select(SandboxMessage)).all()
    expected = {message.id: customers.acts_of(message) for message in kept}
    for _ in range(8):
        frozen_clock.advance(seconds=5)
        while customers.act():
            pass
    with database.transaction() as session:
        states = {message.id: State(message.state) for message in session.scalars(select(Message))}
        assert not session.scalars(select(SandboxMessage).where(SandboxMessage.act_time.is_not(None))).all()
    for message_id, acts in expected.items():
        bounced = acts[0] in ("hard_bounce", "soft_bounce")
        assert states[message_id] == (State.BOUNCED if bounced else State.DELIVERED)
    answered = [message.channel for message in kept if {"reply", "stop"} & set(expected[message.id])]
    assert len(support.mails) == answered.count(Channel.EMAIL)
    assert len(received(doors)) == answered.count(Channel.SMS)


def test_some_customers_do_each_thing() -> None:
    done = {
        deed
        for channel, people in ((Channel.EMAIL, 3000), (Channel.SMS, 500))
        for _ in range(people)
        for deed in customers.acts_of(SandboxMessage(id=uuid4(), channel=channel))
    }
    assert {"hard_bounce", "soft_bounce", "delivered", "open", "click", "unsubscribe", "reply", "stop"} <= done


def test_customers_stay_quiet_when_they_are_told_to(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENDA_SANDBOX_BEHAVIOUR", "false")
    settings.cache_clear()
    a_sent_message(doors)
    with database.transaction() as session:
        assert session.scalars(select(SandboxMessage.act_time)).one() is None
    settings.cache_clear()


def test_every_order_of_three_receipts_ends_bounced(doors: Doors) -> None:
    ends = set()
    for order in permutations([Kind.SENT, Kind.DELIVERED, Kind.SOFT_BOUNCE]):
        message_id = a_sent_message(doors)
        receive(*order, message_id=message_id)
        ends.add(state_of(message_id))
    assert ends == {State.BOUNCED}
