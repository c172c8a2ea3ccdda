"""Mail becomes tickets: each joins the right one on proof, or opens one, or is known as a machine's, or quarantined."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis.errors import Unavailable
from denda.support.v1 import inbound_pb2, ticket_pb2
from denda.support.v1 import inbound_service_pb2 as pb
from denda.support.v1.events_pb2 import MailAccepted
from denda.support.v1.inbound_service_pb2_grpc import InboundServiceStub
from services.support import clients, filing, reading, threads
from services.support.clients import Known, Sender
from services.support.inbound import MAILS
from services.support.mail.parse import parse
from tests.kit.doors import Doors
from tests.kit.hell import READABLE, UNREADABLE
from tests.kit.mails import SUPPORT
from tests.kit.mails import mails as real_mails
from tests.support.conftest import Support, counted_statements
from tests.support.test_mail_kinds import DSN

ACCEPTED, QUARANTINED = inbound_pb2.INBOUND_STATE_ACCEPTED, inbound_pb2.INBOUND_STATE_QUARANTINED
NOTHING, REPLY_ADDRESS = inbound_pb2.MATCHED_BY_NOTHING, inbound_pb2.MATCHED_BY_REPLY_ADDRESS


def an_id(address: str) -> UUID:
    """The person whom contacts knows under an address."""
    return UUID(int=hash(address) % 2**128)


@dataclass
class Postbox:
    """The way in: mails are handed over and read at once."""

    stub: InboundServiceStub
    support: Support
    doors: Doors

    def take(self, raw: bytes, **fields: object) -> inbound_pb2.InboundMail:
        """The mail as it is after it was read."""
        request = pb.IngestInboundRequest(raw=raw, source="smtp", recipients=[SUPPORT])
        for name, value in fields.items():
            if name == "recipients":
                del request.recipients[:]
                request.recipients.extend(value)  # type: ignore[arg-type]
            else:
                setattr(request, name, value)
        mail = self.stub.IngestInbound(request)
        self.read()
        return self.stub.GetInbound(pb.GetInboundRequest(id=mail.id))

    def read(self) -> None:
        """Read everything that waits."""
        while reading.read_waiting():
            pass

    def writes(self, text: str = "It has not come.", sender: str = "ane@shop.example", **fields: str) -> bytes:
        """A mail with these header fields, `in_reply_to` and the like."""
        head = {"From": sender, "To": SUPPORT, "Subject": "Where is my parcel?"}
        head["Message-ID"] = f"<{uuid4()}@mail.example>"
        head |= {name.replace("_", "-"): value for name, value in fields.items()}
        return "\r\n".join([*(f"{name}: {value}" for name, value in head.items() if value), "", text]).encode()

    def accepted(self) -> list[MailAccepted]:
        """What the others are told of mails."""
        return [event for event in self.doors.events("support") if isinstance(event, MailAccepted)]


@pytest.fixture
def postbox(doors: Doors, support: Support, monkeypatch: pytest.MonkeyPatch) -> Postbox:
    """The way in, with contacts who knows everybody."""

    def resolve(senders: list[Sender]) -> list[Known | None]:
        return [Known(an_id(sender.address), sender.name or "Somebody", sender.address) for sender in senders]

    monkeypatch.setattr(clients, "resolve", resolve)
    return Postbox(doors.stub(InboundServiceStub, "support", "service", "agent"), support, doors)


def test_a_strangers_mail_becomes_a_ticket(postbox: Postbox) -> None:
    raw = postbox.writes("It has not come.\r\n\r\n-- \r\nAne", "Ane E. <Ane@Shop.example>", Cc="Jon <jon@shop.example>")
    mail = postbox.take(raw)
    assert (mail.state, mail.kind, mail.matched_by) == (ACCEPTED, inbound_pb2.INBOUND_KIND_PERSONAL, NOTHING)
    ticket = postbox.support.get(mail.ticket_id)
    assert (ticket.subject, ticket.requester_address, ticket.requester_name) == (
        "Where is my parcel?",
        "ane@shop.example",
        "Ane E.",
    )
    assert ticket.requester_id == str(an_id("ane@shop.example"))
    assert [one.address for one in ticket.participants] == ["jon@shop.example"]
    assert (ticket.state, ticket.source) == (ticket_pb2.TICKET_STATE_NEW, ticket_pb2.SOURCE_EMAIL)
    (message,) = postbox.support.messages(ticket.id)
    assert (message.text, message.full_text) == ("It has not come.", "It has not come.\n\n-- \nAne")
    assert message.inbound_id == mail.id
    (event,) = postbox.accepted()
    assert (event.id, event.from_address, event.to_address, event.text) == (
        mail.id,
        "ane@shop.example",
        SUPPORT,
        "It has not come.",
    )
    assert event.person_id == ticket.requester_id


def test_a_mail_goes_to_the_queue_of_its_address(postbox: Postbox) -> None:
    queue = postbox.support.a_queue("Returns", "returns@shop.example")
    mail = postbox.take(postbox.writes(To="Returns <RETURNS@shop.example>"), recipients=[])
    ticket = postbox.support.get(mail.ticket_id)
    assert ticket.queue_id == queue.id
    assert not ticket.participants


def test_files_come_with_the_message(postbox: Postbox) -> None:
    mail = postbox.take(READABLE["names of folders"][0])
    (message,) = postbox.support.messages(mail.ticket_id)
    assert [(file.name, file.size) for file in message.attachments] == [("passwd", 4)]


def test_while_contacts_is_away_tickets_come_in_without_their_people(
    postbox: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: object) -> None:
        raise Unavailable("contacts does not answer")

    monkeypatch.setattr(clients, "resolve", away)
    mail = postbox.take(postbox.writes())
    assert not postbox.support.get(mail.ticket_id).requester_id


# The ladder.


@dataclass(frozen=True)
class Conversation:
    """A ticket of Ane with an answer of an agent."""

    ticket: ticket_pb2.Ticket
    first_header: str
    answer_header: str


@pytest.fixture
def talk(postbox: Postbox) -> Conversation:
    mail = postbox.take(postbox.writes(Message_ID="<first@mail.example>"))
    answer = postbox.support.answer(mail.ticket_id)
    header = threads.message_id_header(UUID(answer.id), UUID(mail.ticket_id))
    return Conversation(postbox.support.get(mail.ticket_id), "<first@mail.example>", header)


def test_the_signed_address_leads_to_the_ticket_whoever_writes(postbox: Postbox, talk: Conversation) -> None:
    address = threads.reply_address(UUID(talk.ticket.id))
    raw = postbox.writes("Thanks", "jon@home.example", To=address, Subject="Hm")
    mail = postbox.take(raw, recipients=[address.upper()])
    assert (mail.ticket_id, mail.matched_by) == (talk.ticket.id, REPLY_ADDRESS)
    ticket = postbox.support.get(talk.ticket.id)
    assert (ticket.state, ticket.message_count) == (ticket_pb2.TICKET_STATE_OPEN, 3)


def test_the_signed_message_id_leads_to_the_ticket(postbox: Postbox, talk: Conversation) -> None:
    mail = postbox.take(postbox.writes(sender="jon@home.example", In_Reply_To=talk.answer_header))
    assert (mail.ticket_id, mail.matched_by) == (talk.ticket.id, inbound_pb2.MATCHED_BY_MESSAGE_ID)


def test_references_lead_the_requester_to_the_ticket(postbox: Postbox, talk: Conversation) -> None:
    mail = postbox.take(postbox.writes(References=f"<other@x> {talk.first_header}"))
    assert (mail.ticket_id, mail.matched_by) == (talk.ticket.id, inbound_pb2.MATCHED_BY_REFERENCES)


def test_the_mark_in_the_quotation_leads_to_the_ticket(postbox: Postbox, talk: Conversation) -> None:
    mark = threads.body_mark(UUID(talk.ticket.id))
    mail = postbox.take(postbox.writes(f"Thanks\r\n\r\n> Hello\r\n> {mark}", "jon@home.example"))
    assert (mail.ticket_id, mail.matched_by) == (talk.ticket.id, inbound_pb2.MATCHED_BY_BODY_MARK)


def test_the_number_leads_the_requester_to_the_ticket(postbox: Postbox, talk: Conversation) -> None:
    mail = postbox.take(postbox.writes(Subject=f"Re: My parcel [#{talk.ticket.number}]"))
    assert (mail.ticket_id, mail.matched_by) == (talk.ticket.id, inbound_pb2.MATCHED_BY_SUBJECT)


def test_what_can_be_copied_leads_nobody_else_to_the_ticket(postbox: Postbox, talk: Conversation) -> None:
    token = threads.reply_address(UUID(talk.ticket.id))
    tampered = token.replace("reply+", "reply+a", 1).replace("a@", "@", 1)
    flipped = token[:10] + ("b" if token[10] != "b" else "c") + token[11:]
    forged = (
        {"References": talk.first_header},
        {"In-Reply-To": talk.first_header, "Subject": f"Re: Where is my parcel? [#{talk.ticket.number}]"},
        {"Subject": f"[#{talk.ticket.number}]"},
        {"To": tampered},
        {"To": flipped},
        {"In-Reply-To": talk.answer_header.replace("@", "a@")},
        {"In-Reply-To": f"<{UUID(talk.ticket.id).hex}.{'a' * 42}@inbound.denda.example>"},
        {"From": '"ane@shop.example" <evil@other.example>', "References": talk.first_header},
        {"Reply-To": "ane@shop.example", "References": talk.first_header},
        {"Sender": "ane@shop.example", "References": talk.first_header},
    )
    for fields in forged:
        mail = postbox.take(postbox.writes(sender="evil@other.example", **fields))
        assert mail.matched_by == NOTHING, fields
        assert mail.ticket_id != talk.ticket.id
        assert postbox.support.get(mail.ticket_id).suggested_ticket_id != talk.ticket.id
    assert postbox.support.get(talk.ticket.id).message_count == 2


def test_without_proof_an_older_ticket_is_only_suggested(postbox: Postbox, talk: Conversation) -> None:
    mail = postbox.take(postbox.writes("And now?", Subject="AW: where is my PARCEL?"))
    ticket = postbox.support.get(mail.ticket_id)
    assert ticket.id != talk.ticket.id
    assert ticket.suggested_ticket_id == talk.ticket.id


def test_mails_of_one_batch_find_each_other(postbox: Postbox) -> None:
    raws = [
        postbox.writes(Message_ID="<a@mail.example>"),
        postbox.writes("More", Message_ID="<b@mail.example>", In_Reply_To="<a@mail.example>"),
        postbox.writes("Still more", Message_ID="<c@mail.example>", References="<a@mail.example> <b@mail.example>"),
    ]
    ids = [postbox.stub.IngestInbound(pb.IngestInboundRequest(raw=raw)).id for raw in raws]
    postbox.read()
    found = {postbox.stub.GetInbound(pb.GetInboundRequest(id=mail_id)).ticket_id for mail_id in ids}
    assert len(found) == 1
    assert postbox.support.get(found.pop()).message_count == 3


# Machines.


def test_an_automatic_answer_joins_its_ticket_without_opening_it_again(postbox: Postbox, talk: Conversation) -> None:
    mail = postbox.take(postbox.writes("I am away", Auto_Submitted="auto-replied", In_Reply_To=talk.answer_header))
    assert (mail.state, mail.kind, mail.ticket_id) == (ACCEPTED, inbound_pb2.INBOUND_KIND_AUTO_REPLY, talk.ticket.id)
    assert postbox.support.get(talk.ticket.id).state == ticket_pb2.TICKET_STATE_PENDING
    assert postbox.support.messages(talk.ticket.id)[-1].author == ticket_pb2.AUTHOR_SYSTEM


@pytest.mark.parametrize("field", ["Auto_Submitted", "List_Id", "Return_Path"])
def test_a_machines_mail_without_a_ticket_is_kept_and_opens_none(postbox: Postbox, field: str) -> None:
    value = {"Auto_Submitted": "auto-generated", "List_Id": "<news.example>", "Return_Path": "<>"}[field]
    mail = postbox.take(postbox.writes(**{field: value}))
    assert (mail.state, mail.ticket_id) == (ACCEPTED, "")
    assert mail.kind in (inbound_pb2.INBOUND_KIND_AUTO_REPLY, inbound_pb2.INBOUND_KIND_BULK)
    assert not postbox.support.found()
    assert [event.kind for event in postbox.accepted()] == [mail.kind]


def test_what_left_this_house_and_comes_back_is_a_loop(postbox: Postbox, talk: Conversation) -> None:
    for raw in (
        postbox.writes(Message_ID=talk.answer_header),
        postbox.writes(sender=SUPPORT, In_Reply_To=talk.answer_header),
        postbox.writes(sender="Denda <support@denda.example>"),
    ):
        mail = postbox.take(raw)
        assert (mail.state, mail.kind, mail.ticket_id) == (ACCEPTED, inbound_pb2.INBOUND_KIND_LOOP, "")
    assert len(postbox.support.found()) == 1


def test_a_bounce_marks_the_answer_that_did_not_arrive(postbox: Postbox, talk: Conversation) -> None:
    raw = DSN % (b"failed", b"5.1.1", b"550 no such mailbox", b"message/rfc822")
    raw = raw.replace(b"<original@inbound.denda.example>", talk.answer_header.encode())
    mail = postbox.take(raw, envelope_from="<>")
    assert (mail.kind, mail.ticket_id) == (inbound_pb2.INBOUND_KIND_BOUNCE, talk.ticket.id)
    answer = postbox.support.messages(talk.ticket.id)[1]
    assert answer.delivery_state == ticket_pb2.DELIVERY_STATE_FAILED
    assert answer.delivery_detail == "5.1.1 550 no such mailbox"
    (event,) = (event for event in postbox.accepted() if event.kind == inbound_pb2.INBOUND_KIND_BOUNCE)
    assert (event.bounced_message_id_header, event.bounce_status) == (talk.answer_header, "5.1.1")


def test_a_delay_marks_no_answer(postbox: Postbox, talk: Conversation) -> None:
    raw = DSN % (b"delayed", b"4.4.1", b"still trying", b"message/rfc822")
    postbox.take(raw.replace(b"<original@inbound.denda.example>", talk.answer_header.encode()), envelope_from="<>")
    assert postbox.support.messages(talk.ticket.id)[1].delivery_state != ticket_pb2.DELIVERY_STATE_FAILED


# What cannot be read.


def test_mails_from_hell_are_tickets_or_in_quarantine_and_none_is_lost(postbox: Postbox) -> None:
    before = {state: MAILS.labels(state)._value.get() for state in ("fetched", "accepted", "quarantined", "duplicate")}
    raws = {name: raw for name, (raw, _) in READABLE.items()} | dict(UNREADABLE)
    ids = {name: postbox.stub.IngestInbound(pb.IngestInboundRequest(raw=raw)).id for name, raw in raws.items()}
    postbox.read()
    states = {name: postbox.stub.GetInbound(pb.GetInboundRequest(id=mail_id)) for name, mail_id in ids.items()}
    assert {name for name, mail in states.items() if mail.state == QUARANTINED} == set(UNREADABLE)
    assert all(mail.ticket_id for name, mail in states.items() if name not in UNREADABLE)
    assert all(states[name].detail and states[name].from_address == "ane@shop.example" for name in UNREADABLE)
    after = {state: MAILS.labels(state)._value.get() - count for state, count in before.items()}
    assert after["fetched"] == len(raws)
    assert after["fetched"] == after["accepted"] + after["quarantined"] + after["duplicate"]


def test_one_bad_mail_keeps_no_other_waiting(postbox: Postbox, monkeypatch: pytest.MonkeyPatch) -> None:
    drafted = filing._draft

    def refuse(letter: filing.Letter, match: object) -> object:
        if letter.mail.subject == "Bad":
            raise ValueError("out of luck")
        return drafted(letter, match)  # type: ignore[arg-type]

    monkeypatch.setattr(filing, "_draft", refuse)
    subjects = ["Good", "Bad", "Fine"]
    raws = [postbox.writes(Subject=subject) for subject in subjects]
    ids = [postbox.stub.IngestInbound(pb.IngestInboundRequest(raw=raw)).id for raw in raws]
    postbox.read()
    mails = [postbox.stub.GetInbound(pb.GetInboundRequest(id=mail_id)) for mail_id in ids]
    assert [mail.state for mail in mails] == [ACCEPTED, QUARANTINED, ACCEPTED]
    assert "out of luck" in mails[1].detail
    monkeypatch.setattr(filing, "_draft", drafted)
    postbox.stub.RetryInbound(pb.RetryInboundRequest(id=ids[1]))
    postbox.read()
    assert postbox.stub.GetInbound(pb.GetInboundRequest(id=ids[1])).state == ACCEPTED
    assert sorted(postbox.support.found()) == ["Bad", "Fine", "Good"]


def test_a_mail_over_which_readers_die_is_given_up(postbox: Postbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LEASE", timedelta(0))
    mail = postbox.stub.IngestInbound(pb.IngestInboundRequest(raw=postbox.writes()))

    class Died(BaseException):
        """As if the process had been killed."""

    def die(*_: object) -> None:
        raise Died

    monkeypatch.setattr(reading, "parse", die)
    for _ in range(reading.MOST_ATTEMPTS):
        with pytest.raises(Died):
            reading.read_waiting()
    monkeypatch.setattr(reading, "parse", parse)
    postbox.read()
    found = postbox.stub.GetInbound(pb.GetInboundRequest(id=mail.id))
    assert (found.state, found.detail) == (QUARANTINED, "reading it did not come to an end 3 times")


def test_two_readers_file_a_mail_once(postbox: Postbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LEASE", timedelta(0))
    postbox.stub.IngestInbound(pb.IngestInboundRequest(raw=postbox.writes()))
    resolve = clients.resolve

    def overtaken(senders: list[Sender]) -> list[Known | None]:
        monkeypatch.setattr(clients, "resolve", resolve)
        assert reading.read_waiting()
        return resolve(senders)

    monkeypatch.setattr(clients, "resolve", overtaken)
    reading.read_waiting()
    assert len(postbox.support.found()) == 1


def test_a_merged_tickets_mail_comes_to_the_survivor(postbox: Postbox, talk: Conversation) -> None:
    other = postbox.support.a_ticket()
    postbox.support.merge(other.id, talk.ticket.id)
    mail = postbox.take(postbox.writes(In_Reply_To=talk.answer_header))
    assert mail.ticket_id == other.id
    assert postbox.support.messages(other.id)[-1].original_ticket_id == talk.ticket.id


def test_an_answer_to_what_was_said_before_a_merge_goes_back_when_it_is_undone(
    postbox: Postbox, talk: Conversation
) -> None:
    other = postbox.support.a_ticket()
    postbox.support.merge(other.id, talk.ticket.id)
    mail = postbox.take(postbox.writes("And now?", References=talk.first_header))
    assert (mail.ticket_id, mail.matched_by) == (other.id, inbound_pb2.MATCHED_BY_REFERENCES)
    postbox.support.unmerge(talk.ticket.id)
    assert postbox.support.messages(talk.ticket.id)[-1].text == "And now?"
    assert len(postbox.support.messages(other.id)) == 1


def test_a_batch_takes_few_statements(postbox: Postbox) -> None:
    for raw in real_mails(40, seed=3):
        postbox.stub.IngestInbound(pb.IngestInboundRequest(raw=raw, recipients=[SUPPORT]))
    with counted_statements() as statements:
        reading.read_waiting()
    assert len(statements) < 20


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=500))
def test_random_bytes_are_never_lost(postbox: Postbox, raw: bytes) -> None:
    mail = postbox.take(raw)
    assert mail.state in (ACCEPTED, QUARANTINED, inbound_pb2.INBOUND_STATE_DUPLICATE)
