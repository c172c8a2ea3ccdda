from datetime import timedelta
from uuid import uuid4

import grpc
import pytest
from sqlalchemy import select

from denda.campaigns.v1.events_pb2 import RecipientsPlanned
from denda.notifications.v1 import messages_service_pb2 as messages
from denda.notifications.v1 import suppressions_service_pb2 as pb
from denda.notifications.v1.message_pb2 import MESSAGE_STATE_SCHEDULED, MESSAGE_STATE_SENT
from denda.notifications.v1.suppressions_service_pb2_grpc import SuppressionsServiceStub
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL, CHANNEL_SMS
from services.notifications.models import Message, Outgoing, database
from services.notifications.states import Skip, State
from tests.conftest import FrozenClock
from tests.kit.doors import Doors
from tests.notifications.things import (
    a_plan,
    a_recipient,
    a_template,
    a_variant,
    accepted,
    an_sms_template,
    at,
    fields_of,
    messages_stub,
    sent,
)


def suppressions_stub(doors: Doors, role: str = "marketer") -> SuppressionsServiceStub:
    return doors.stub(SuppressionsServiceStub, "notifications", role)


def suppress(doors: Doors, address: str) -> pb.Suppression:
    wanted = pb.Suppression(channel=CHANNEL_EMAIL, address=address, detail="asked on the phone")
    return suppressions_stub(doors).SuppressAddress(pb.SuppressAddressRequest(suppression=wanted))


def set_policy(doors: Doors, **policy: object) -> pb.Policy:
    wanted = pb.Policy(channel=CHANNEL_EMAIL, **policy)  # type: ignore[arg-type]
    return suppressions_stub(doors, "admin").UpdatePolicy(pb.UpdatePolicyRequest(policy=wanted))


def only_message() -> Message:
    with database.transaction() as session:
        return session.scalars(select(Message)).one()


def skip_of(plan: RecipientsPlanned) -> list[Skip]:
    with database.transaction() as session:
        rows = session.scalars(select(Message).where(Message.campaign_id == plan.campaign_id)).all()
    by_id = {str(row.id): Skip(row.skip_reason) for row in rows}
    return [by_id[recipient.message_id] for recipient in plan.recipients]


def test_suppressed_addresses_are_left_out_however_they_are_spelt(doors: Doors) -> None:
    suppress(doors, "Person0@Customer.Example")
    plan = a_plan(a_template(doors), people=2)
    accepted(plan)
    assert skip_of(plan) == [Skip.SUPPRESSED, Skip.NONE]
    [event] = doors.events("notifications")
    assert [change.detail for change in event.changes] == ["the address is on the suppression list"]


def test_an_address_suppressed_after_acceptance_is_not_written_to(doors: Doors) -> None:
    plan = a_plan(a_template(doors), people=2)
    accepted(plan)
    suppress(doors, "person0@customer.example")
    sent()
    assert skip_of(plan) == [Skip.SUPPRESSED, Skip.NONE]


def test_suppressing_is_idempotent_and_can_be_taken_back(doors: Doors) -> None:
    stub = suppressions_stub(doors)
    first = suppress(doors, "ane@customer.example")
    assert suppress(doors, "ANE@customer.example") == first
    assert first.reason == pb.Suppression.REASON_MANUAL
    assert list(stub.ListSuppressions(pb.ListSuppressionsRequest()).suppressions) == [first]
    assert not stub.ListSuppressions(pb.ListSuppressionsRequest(channel=CHANNEL_SMS)).suppressions
    of_one = pb.ListSuppressionsRequest(address="Ane@customer.example")
    assert list(stub.ListSuppressions(of_one).suppressions) == [first]
    assert not stub.ListSuppressions(pb.ListSuppressionsRequest(address="an@customer.example")).suppressions
    for _ in range(2):
        stub.RemoveSuppression(pb.RemoveSuppressionRequest(channel=CHANNEL_EMAIL, address="ane@Customer.example"))
    assert not stub.ListSuppressions(pb.ListSuppressionsRequest()).suppressions


def test_an_address_with_a_nul_character_is_refused_where_addresses_are_looked_up(doors: Doors) -> None:
    stub, odd = suppressions_stub(doors), "ane\0@customer.example"
    for look_up in (
        lambda: stub.ListSuppressions(pb.ListSuppressionsRequest(address=odd)),
        lambda: stub.RemoveSuppression(pb.RemoveSuppressionRequest(channel=CHANNEL_EMAIL, address=odd)),
        lambda: messages_stub(doors).ListSandboxMessages(messages.ListSandboxMessagesRequest(address=odd)),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            look_up()
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert caught.value.details() == "address: contains a NUL character"


def test_a_cap_counts_what_a_person_got_from_campaigns(doors: Doors, frozen_clock: FrozenClock) -> None:
    set_policy(doors, frequency_cap=2, cap_days=7)
    template = a_template(doors)
    plans = [a_plan(template) for _ in range(3)]
    for plan in plans:
        accepted(plan)
    accepted(*plans)
    assert [skip_of(plan) for plan in plans] == [[Skip.NONE], [Skip.NONE], [Skip.FREQUENCY_CAP]]
    frozen_clock.advance(days=8)
    later = a_plan(template)
    accepted(later)
    assert skip_of(later) == [Skip.NONE]


def test_no_cap_means_no_cap(doors: Doors) -> None:
    assert suppressions_stub(doors).GetPolicy(pb.GetPolicyRequest(channel=CHANNEL_EMAIL)).frequency_cap == 0
    plans = [a_plan(a_template(doors)) for _ in range(3)]
    accepted(*plans)
    assert [skip_of(plan) for plan in plans] == [[Skip.NONE]] * 3


def test_quiet_hours_are_those_of_the_recipient(doors: Doors, frozen_clock: FrozenClock) -> None:
    frozen_clock.moment = at("2026-11-20T23:30+00:00")
    set_policy(doors, quiet_from="21:00", quiet_until="08:00", default_time_zone="America/New_York")
    zones = ["Europe/Madrid", "Asia/Tokyo", ""]
    people = [a_recipient(number, time_zone=name) for number, name in enumerate(zones)]
    plan = a_plan(a_template(doors), recipients=people)
    accepted(plan)
    with database.transaction() as session:
        due = {str(row.message_id): row.due_time for row in session.scalars(select(Outgoing))}
    assert [due[person.message_id] for person in people] == [
        at("2026-11-21T07:00+00:00"),
        at("2026-11-20T23:30+00:00"),
        at("2026-11-20T23:30+00:00"),
    ]


def test_a_message_that_became_due_before_the_night_and_is_claimed_in_it_waits(
    doors: Doors, frozen_clock: FrozenClock
) -> None:
    frozen_clock.moment = at("2026-11-20T19:50+00:00")
    set_policy(doors, quiet_from="21:00", quiet_until="08:00")
    accepted(a_plan(a_template(doors)))
    frozen_clock.moment = at("2026-11-20T20:30+00:00")
    sent()
    assert only_message().state == State.SCHEDULED
    assert only_message().schedule_time == at("2026-11-21T07:00+00:00")
    frozen_clock.moment = at("2026-11-21T07:00+00:00")
    sent()
    assert only_message().state == State.SENT


def test_a_night_that_lasts_beyond_the_expiry_skips_the_message(doors: Doors, frozen_clock: FrozenClock) -> None:
    frozen_clock.moment = at("2026-11-20T22:00+00:00")
    set_policy(doors, quiet_from="21:00", quiet_until="08:00")
    plan = a_plan(a_template(doors))
    plan.expire_time.FromDatetime(frozen_clock() + timedelta(hours=2))
    accepted(plan)
    assert skip_of(plan) == [Skip.EXPIRED]


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        ({"frequency_cap": 3}, "policy.cap_days"),
        ({"quiet_from": "21:00"}, "policy.quiet_until"),
        ({"quiet_from": "21:00", "quiet_until": "21:00"}, "policy.quiet_until"),
        ({"quiet_from": "25:00", "quiet_until": "08:00"}, "quiet_from"),
        ({"default_time_zone": "Mars/Olympus"}, "policy.default_time_zone"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(doors: Doors, policy: dict[str, object], field: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        set_policy(doors, **policy)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert field in str(caught.value.details())


def test_only_an_administrator_sets_policies(doors: Doors) -> None:
    wanted = pb.UpdatePolicyRequest(policy=pb.Policy(channel=CHANNEL_EMAIL))
    with pytest.raises(grpc.RpcError) as caught:
        suppressions_stub(doors, "marketer").UpdatePolicy(wanted)
    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED


def a_request(doors: Doors, **changes: object) -> messages.SendMessageRequest:
    fields: dict[str, object] = {
        "channel": CHANNEL_EMAIL,
        "address": "Ane@Customer.example",
        "merge_fields": fields_of(given_name="Ane"),
        "request_id": "order-1",
    }
    if "template_id" not in changes:
        fields["template_id"] = a_template(doors, a_variant(html="<p>Thanks {{ given_name }}</p>")).id
    return messages.SendMessageRequest(**(fields | changes))  # type: ignore[arg-type]


def test_a_transactional_message_is_sent_once_however_often_it_is_asked_for(doors: Doors) -> None:
    stub, request = messages_stub(doors), a_request(doors)
    first = stub.SendMessage(request)
    assert (first.state, first.address) == (MESSAGE_STATE_SCHEDULED, "Ane@customer.example")
    sent()
    again = stub.SendMessage(request)
    assert (again.id, again.state) == (first.id, MESSAGE_STATE_SENT)
    [kept] = stub.ListSandboxMessages(messages.ListSandboxMessagesRequest(address="Ane@customer.example")).messages
    assert "Thanks Ane" in kept.html
    assert b"List-Unsubscribe" not in kept.raw
    assert (first.expire_time.seconds - first.create_time.seconds) == 24 * 3600


def test_a_transactional_message_is_held_up_by_no_policy(doors: Doors, frozen_clock: FrozenClock) -> None:
    set_policy(doors, quiet_from="00:01", quiet_until="00:00", frequency_cap=1, cap_days=1)
    stub = messages_stub(doors)
    person = str(uuid4())
    template = a_template(doors).id
    for number in range(2):
        stub.SendMessage(
            a_request(
                doors,
                template_id=template,
                person_id=person,
                request_id=str(number),
                merge_fields=fields_of(given_name="Ane", unsubscribe_url="-"),
            )
        )
    sent()
    found = stub.ListMessages(messages.ListMessagesRequest(person_id=person)).messages
    assert [message.state for message in found] == [MESSAGE_STATE_SENT] * 2


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"merge_fields": fields_of(x=1)}, grpc.StatusCode.INVALID_ARGUMENT, "merge_fields.given_name"),
        ({"address": "not an address"}, grpc.StatusCode.INVALID_ARGUMENT, "address"),
        ({"address": "a@b.example\r\nBcc: c@d.example"}, grpc.StatusCode.INVALID_ARGUMENT, "address"),
        ({"channel": CHANNEL_SMS, "address": "+34944000000"}, grpc.StatusCode.INVALID_ARGUMENT, "template_id"),
        ({"template_id": str(uuid4())}, grpc.StatusCode.NOT_FOUND, "template"),
        ({"template_version": 9}, grpc.StatusCode.NOT_FOUND, "version"),
        ({"sender": "not a sender"}, grpc.StatusCode.INVALID_ARGUMENT, "sender"),
        ({"request_id": ""}, grpc.StatusCode.INVALID_ARGUMENT, "request_id"),
        ({"person_id": "me"}, grpc.StatusCode.INVALID_ARGUMENT, "person_id"),
    ],
)
def test_what_cannot_be_sent_is_refused(
    doors: Doors, changes: dict[str, object], code: grpc.StatusCode, words: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        messages_stub(doors).SendMessage(a_request(doors, **changes))
    assert caught.value.code() == code
    assert words in str(caught.value.details())


def test_a_suppressed_address_is_refused(doors: Doors) -> None:
    suppress(doors, "ane@customer.example")
    with pytest.raises(grpc.RpcError) as caught:
        messages_stub(doors).SendMessage(a_request(doors))
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION


def test_a_phone_number_is_checked_and_an_sms_sent(doors: Doors) -> None:
    template = an_sms_template(doors).id
    stub = messages_stub(doors)
    with pytest.raises(grpc.RpcError) as caught:
        stub.SendMessage(a_request(doors, channel=CHANNEL_SMS, template_id=template, address="944 000 000"))
    assert "phone number" in str(caught.value.details())
    message = stub.SendMessage(a_request(doors, channel=CHANNEL_SMS, template_id=template, address="+34 944 000 000"))
    assert message.address == "+34944000000"


def test_messages_are_listed_newest_first_page_by_page(doors: Doors, frozen_clock: FrozenClock) -> None:
    template = a_template(doors)
    plans = []
    for _ in range(3):
        frozen_clock.advance(seconds=1)
        plans.append(a_plan(template, people=1))
        accepted(plans[-1])
    stub = messages_stub(doors, "viewer")
    page = stub.ListMessages(messages.ListMessagesRequest(page_size=2))
    rest = stub.ListMessages(messages.ListMessagesRequest(page_size=2, page_token=page.next_page_token))
    found = [message.campaign_id for message in [*page.messages, *rest.messages]]
    assert found == [plan.campaign_id for plan in reversed(plans)]


def test_a_message_nobody_knows_is_not_found(doors: Doors) -> None:
    stub = messages_stub(doors)
    for call in (
        lambda: stub.GetMessage(messages.GetMessageRequest(id=str(uuid4()))),
        lambda: stub.ListMessageEvents(messages.ListMessageEventsRequest(message_id=str(uuid4()))),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_nul_in_a_merge_field_does_not_stop_a_message(doors: Doors) -> None:
    request = a_request(doors, merge_fields=fields_of(given_name="A\0ne \\u0000"))
    made = messages_stub(doors).SendMessage(request)
    sent()
    assert messages_stub(doors).GetMessage(messages.GetMessageRequest(id=made.id)).state == MESSAGE_STATE_SENT
