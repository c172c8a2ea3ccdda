"""Splits: what is about something else goes into a ticket of its own."""

from typing import Any
from uuid import uuid4

import grpc

from denda.support.v1 import relations_service_pb2 as pb
from denda.support.v1 import ticket_pb2
from tests.support.conftest import AGENT, Support, refused


def split(support: Support, ticket_id: str, *message_ids: str, **fields: Any) -> ticket_pb2.Ticket:
    return support.relations.SplitTicket(pb.SplitTicketRequest(id=ticket_id, message_ids=message_ids, **fields))


def texts(support: Support, ticket_id: str) -> list[str]:
    return [message.text for message in support.messages(ticket_id)]


def test_messages_go_into_a_new_ticket_that_is_like_the_old_one(support: Support) -> None:
    queue = support.a_queue("Parcels")
    jon = ticket_pb2.Participant(address="jon@shop.example")
    ticket = support.a_ticket("one", tags=["parcel"], queue_id=queue.id, assignee_id=AGENT, participants=[jon])
    second = support.customer_says(ticket, "two")
    third = support.customer_says(ticket, "three")
    made = split(support, ticket.id, second.id, subject="Something else")
    assert (made.subject, made.requester_address, made.queue_id) == ("Something else", "ane@shop.example", queue.id)
    assert (list(made.tags), list(made.participants), made.assignee_id) == (["parcel"], [jon], AGENT)
    assert (made.message_count, made.state) == (1, ticket_pb2.TICKET_STATE_OPEN)
    assert made.last_message_time == second.create_time
    assert (texts(support, ticket.id), texts(support, made.id)) == (["one", "three"], ["two"])
    assert support.messages(made.id)[0].original_ticket_id == ticket.id
    rest = support.get(ticket.id)
    assert (rest.message_count, rest.last_message_time) == (2, third.create_time)
    assert support.linked(ticket.id) == {made.id}
    assert support.history(ticket.id)[-1].after == made.id
    assert support.history(made.id)[-1].before == ticket.id


def test_a_repeated_split_makes_one_ticket(support: Support) -> None:
    ticket = support.a_ticket()
    message = support.customer_says(ticket, "two")
    first = split(support, ticket.id, message.id, request_id="once")
    assert first.subject == ticket.subject
    assert split(support, ticket.id, message.id, request_id="once") == first


def test_splits_that_make_no_sense_are_refused(support: Support) -> None:
    ticket, other = support.a_ticket(), support.a_ticket()
    (only,), (strange,) = support.messages(ticket.id), support.messages(other.id)
    for message_id in (only.id, strange.id, str(uuid4())):
        with refused() as refusal:
            split(support, ticket.id, message_id)
        assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("message_ids",))
    answer = support.answer(ticket.id)
    with refused() as refusal:
        split(support, ticket.id, answer.id)
    assert refusal.reason == "ANSWER_WAITING"
    support.merge(other.id, ticket.id)
    with refused() as refusal:
        split(support, ticket.id, only.id)
    assert refusal.reason == "TICKET_MERGED"


def test_what_was_split_off_a_merged_ticket_stays_when_the_merge_is_undone(support: Support) -> None:
    target, part = support.a_ticket("one"), support.a_ticket("two")
    more = support.customer_says(part, "three")
    support.merge(target.id, part.id)
    made = split(support, target.id, more.id)
    assert support.unmerge(part.id).message_count == 1
    assert texts(support, made.id) == ["three"]
    support.merge(target.id, made.id)
    assert support.unmerge(made.id).message_count == 1
    assert support.messages(made.id)[0].original_ticket_id == part.id
