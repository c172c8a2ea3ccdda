"""One change of many tickets: each failure is its own, and everybody is told at once."""

from typing import Any
from uuid import uuid4

import grpc

from denda.support.v1 import ticket_pb2
from denda.support.v1 import tickets_service_pb2 as pb
from tests.kit.doors import Doors
from tests.support.conftest import AGENT, Support, counted_statements, refused


def change(support: Support, *ids: str, **fields: Any) -> pb.BatchUpdateTicketsResponse:
    tags = {name: fields.pop(name, []) for name in ("add_tags", "remove_tags")}
    request = pb.BatchUpdateTicketsRequest(ids=ids, ticket=ticket_pb2.Ticket(**fields), **tags)
    request.update_mask.paths.extend(fields)
    return support.tickets.BatchUpdateTickets(request)


def test_many_tickets_change_alike_and_are_told_of_in_one_event(support: Support, doors: Doors) -> None:
    ids = [support.a_ticket(tags=["parcel", "new"]).id for _ in range(5)]
    before = len(doors.events("support"))
    answer = change(
        support,
        *ids,
        state=ticket_pb2.TICKET_STATE_OPEN,
        assignee_id=AGENT,
        add_tags=["urgent", "parcel"],
        remove_tags=["new", "unheard of"],
    )
    assert [ticket.id for ticket in answer.tickets] == ids
    for ticket in answer.tickets:
        assert (ticket.state, ticket.assignee_id) == (ticket_pb2.TICKET_STATE_OPEN, AGENT)
        assert list(ticket.tags) == ["parcel", "urgent"]
        assert [entry.kind for entry in support.history(ticket.id)] == ["created", "state", "assigned", "tagged"]
    (event,) = doors.events("support")[before:]
    assert sorted(one.ticket_id for one in event.changes) == sorted(ids)


def test_each_ticket_that_cannot_be_changed_says_why_and_the_others_are_changed(support: Support) -> None:
    full = support.a_ticket(tags=[f"tag {number}" for number in range(50)])
    good, unknown = support.a_ticket(), str(uuid4())
    answer = change(support, full.id, unknown, good.id, add_tags=["parcel"], priority=ticket_pb2.PRIORITY_URGENT)
    assert [ticket.id for ticket in answer.tickets] == [good.id]
    reasons = {failure.id: failure.reason for failure in answer.failures}
    assert "more than 50 tags" in reasons[full.id]
    assert "no ticket" in reasons[unknown]
    assert support.get(full.id) == full


def test_what_is_wrong_for_every_ticket_is_refused_as_a_whole(support: Support) -> None:
    ticket = support.a_ticket()
    for wrong in (
        {"queue_id": str(uuid4())},
        {"state": ticket_pb2.TICKET_STATE_MERGED},
        {"subject": "Another"},
        {"add_tags": ["x" * 51]},
    ):
        with refused() as refusal:
            change(support, ticket.id, **wrong)
        assert refusal.code == grpc.StatusCode.INVALID_ARGUMENT
    assert support.get(ticket.id) == ticket


def test_a_ticket_that_is_as_it_should_be_keeps_its_etag(support: Support) -> None:
    ticket = support.a_ticket(tags=["parcel"])
    answer = change(support, ticket.id, ticket.id, add_tags=["parcel"])
    assert list(answer.tickets) == [ticket]


def test_a_hundred_tickets_take_hardly_more_statements_than_one(support: Support) -> None:
    ids = [support.a_ticket().id for _ in range(100)]
    queue = support.a_queue("Parcels")
    with counted_statements() as statements:
        answer = change(support, *ids, queue_id=queue.id, add_tags=["parcel"])
    assert len(answer.tickets) == 100
    assert len(statements) <= 10
