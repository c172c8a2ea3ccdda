"""What is said in a ticket, by whom, and what it does to the ticket."""

from uuid import uuid4

import grpc
import pytest

from denda.support.v1 import conversations_service_pb2 as pb
from denda.support.v1 import ticket_pb2
from tests.support.conftest import AGENT, Support, counted_statements, refused

OPEN, PENDING, SOLVED, CLOSED = (
    ticket_pb2.TICKET_STATE_OPEN,
    ticket_pb2.TICKET_STATE_PENDING,
    ticket_pb2.TICKET_STATE_SOLVED,
    ticket_pb2.TICKET_STATE_CLOSED,
)


def reply(ticket_id: str, **fields: object) -> pb.ReplyToTicketRequest:
    usual = {"ticket_id": ticket_id, "text": "It is on its way.", "request_id": str(uuid4())}
    return pb.ReplyToTicketRequest(**{**usual, **fields})  # type: ignore[arg-type]  # the stubs want each named


def test_an_answer_makes_the_ticket_wait_for_the_customer(support: Support) -> None:
    ticket = support.a_ticket()
    support.answer(ticket.id)
    now = support.get(ticket.id)
    assert (now.state, now.customer_spoke_last, now.message_count) == (PENDING, False, 2)
    assert now.HasField("first_answer_time")
    assert [entry.kind for entry in support.history(ticket.id)] == ["created", "answered", "state"]
    assert support.history(ticket.id)[-1].actor == f"user:{AGENT}"


def test_an_answer_may_solve_the_ticket(support: Support) -> None:
    ticket = support.a_ticket()
    support.conversations.ReplyToTicket(reply(ticket.id, state=SOLVED))
    now = support.get(ticket.id)
    assert now.state == SOLVED
    assert now.HasField("solve_time")


def test_an_answer_that_is_asked_for_twice_is_written_once(support: Support) -> None:
    ticket = support.a_ticket()
    request = reply(ticket.id)
    first = support.conversations.ReplyToTicket(request)
    assert support.conversations.ReplyToTicket(request).id == first.id
    assert len(support.messages(ticket.id)) == 2


def test_of_two_agents_who_answer_the_same_state_the_second_is_told(support: Support) -> None:
    ticket = support.a_ticket()
    support.conversations.ReplyToTicket(reply(ticket.id, etag=ticket.etag))
    with refused() as refusal:
        support.conversations.ReplyToTicket(reply(ticket.id, etag=ticket.etag))
    assert refusal.code is grpc.StatusCode.ABORTED
    assert len(support.messages(ticket.id)) == 2


@pytest.mark.parametrize("text", [" \n ", "a\0b"])
def test_an_answer_that_says_nothing_or_cannot_be_kept_is_refused(support: Support, text: str) -> None:
    ticket = support.a_ticket()
    with refused() as refusal:
        support.conversations.ReplyToTicket(reply(ticket.id, text=text))
    assert refusal.fields == ("text",)
    assert len(support.messages(ticket.id)) == 1


def test_a_ticket_without_an_address_cannot_be_answered(support: Support) -> None:
    ticket = support.a_ticket(requester_address="", requester_id="")
    with refused() as refusal:
        support.answer(ticket.id)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_ADDRESS")


@pytest.mark.parametrize("state", [PENDING, SOLVED, CLOSED])
def test_the_customers_words_open_the_ticket_again(support: Support, state: ticket_pb2.TicketState.ValueType) -> None:
    ticket = support.a_ticket(state=state)
    support.customer_says(ticket, "It came broken.")
    now = support.get(ticket.id)
    assert (now.state, now.customer_spoke_last) == (OPEN, True)
    assert not now.HasField("solve_time")


def test_a_customer_may_close_the_ticket(support: Support) -> None:
    ticket = support.a_ticket()
    support.conversations.AddCustomerMessage(
        pb.AddCustomerMessageRequest(
            ticket_id=ticket.id, person_id=ticket.requester_id, text="It is here.", close=True, request_id="1"
        )
    )
    assert support.get(ticket.id).state == CLOSED


def test_a_stranger_cannot_speak_in_somebody_elses_ticket(support: Support) -> None:
    ticket = support.a_ticket()
    with refused() as refusal:
        support.conversations.AddCustomerMessage(
            pb.AddCustomerMessageRequest(ticket_id=ticket.id, person_id=str(uuid4()), text="Hello", request_id="1")
        )
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_A_PARTICIPANT")
    assert len(support.messages(ticket.id)) == 1


def test_notes_are_for_agents_and_leave_the_state_alone(support: Support) -> None:
    ticket = support.a_ticket()
    note = support.note(ticket.id, "She called twice.", "u1", "u2", "u1")
    assert note.internal
    assert list(note.mentioned_ids) == ["u1", "u2"]
    assert support.get(ticket.id).state == ticket.state
    public = pb.ListTicketMessagesRequest(ticket_id=ticket.id, public_only=True)
    assert [message.text for message in support.conversations.ListTicketMessages(public).messages] == [
        "It has not come."
    ]


def test_messages_come_in_pages_oldest_first_with_as_many_statements_as_one(support: Support) -> None:
    ticket = support.a_ticket("0")
    for number in range(1, 5):
        support.note(ticket.id, str(number))
    request = pb.ListTicketMessagesRequest(ticket_id=ticket.id, page_size=3)
    with counted_statements() as statements:
        first = support.conversations.ListTicketMessages(request)
    assert len(statements) <= 6
    request.page_token = first.next_page_token
    second = support.conversations.ListTicketMessages(request)
    assert [message.text for page in (first, second) for message in page.messages] == ["0", "1", "2", "3", "4"]
    assert second.next_page_token == ""


def test_what_is_not_there_is_not_found(support: Support) -> None:
    for call, request in (
        (support.conversations.ReplyToTicket, reply(str(uuid4()))),
        (support.conversations.ListTicketMessages, pb.ListTicketMessagesRequest(ticket_id=str(uuid4()))),
    ):
        with refused() as refusal:
            call(request)  # type: ignore[arg-type]  # each stub has its own
        assert refusal.code is grpc.StatusCode.NOT_FOUND
