"""Support behind its real doors, and short ways to fill it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from sqlalchemy import event

from chassis import client
from denda.support.v1 import conversations_service_pb2 as conversations_pb
from denda.support.v1 import queues_service_pb2 as queues_pb
from denda.support.v1 import relations_service_pb2 as relations_pb
from denda.support.v1 import ticket_pb2
from denda.support.v1 import tickets_service_pb2 as tickets_pb
from denda.support.v1.conversations_service_pb2_grpc import ConversationsServiceStub
from denda.support.v1.queues_service_pb2_grpc import QueuesServiceStub
from denda.support.v1.relations_service_pb2_grpc import RelationsServiceStub
from denda.support.v1.tickets_service_pb2_grpc import TicketsServiceStub
from denda.support.v1.views_service_pb2_grpc import ViewsServiceStub
from services import address
from services.support.models import database
from tests.kit.doors import Doors
from tests.kit.tokens import a_token

AGENT = "018f0000-0000-7000-8000-000000000001"
OTHER_AGENT = "018f0000-0000-7000-8000-000000000002"


@dataclass(frozen=True)
class Support:
    """Stubs of support, all of one caller."""

    tickets: TicketsServiceStub
    conversations: ConversationsServiceStub
    queues: QueuesServiceStub
    views: ViewsServiceStub
    relations: RelationsServiceStub

    def a_ticket(self, text: str = "It has not come.", **fields: Any) -> ticket_pb2.Ticket:
        """A ticket with one message of a customer whom contacts knows; `state` and the like are set as asked."""
        usual = {
            "subject": "Where is my parcel?",
            "requester_id": str(uuid4()),
            "requester_address": "ane@shop.example",
        }
        state = fields.pop("state", None)
        request = tickets_pb.CreateTicketRequest(ticket=ticket_pb2.Ticket(**{**usual, **fields}), text=text)
        ticket = self.tickets.CreateTicket(request)
        return self.change(ticket.id, state=state) if state else ticket

    def change(self, ticket_id: str, **fields: Any) -> ticket_pb2.Ticket:
        """The ticket with some fields changed."""
        request = tickets_pb.UpdateTicketRequest(ticket=ticket_pb2.Ticket(id=ticket_id, **fields))
        request.update_mask.paths.extend(name for name in fields if name != "etag")
        return self.tickets.UpdateTicket(request)

    def get(self, ticket_id: str) -> ticket_pb2.Ticket:
        """The ticket as it is now."""
        return self.tickets.GetTicket(tickets_pb.GetTicketRequest(id=ticket_id))

    def found(self, filter_text: str = "", **options: Any) -> list[str]:
        """The subjects of the tickets that a list shows, in its order."""
        answer = self.tickets.ListTickets(tickets_pb.ListTicketsRequest(filter=filter_text, **options))
        return [ticket.subject for ticket in answer.tickets]

    def answer(self, ticket_id: str, text: str = "It is on its way.") -> ticket_pb2.TicketMessage:
        """An agent's answer."""
        request = conversations_pb.ReplyToTicketRequest(ticket_id=ticket_id, text=text, request_id=str(uuid4()))
        return self.conversations.ReplyToTicket(request)

    def note(self, ticket_id: str, text: str, *mentioned: str) -> ticket_pb2.TicketMessage:
        """An agent's note."""
        request = conversations_pb.AddNoteRequest(ticket_id=ticket_id, text=text, mentioned_ids=mentioned)
        return self.conversations.AddNote(request)

    def customer_says(self, ticket: ticket_pb2.Ticket, text: str) -> ticket_pb2.TicketMessage:
        """What the requester writes in the portal."""
        request = conversations_pb.AddCustomerMessageRequest(
            ticket_id=ticket.id, person_id=ticket.requester_id, text=text, request_id=str(uuid4())
        )
        return self.conversations.AddCustomerMessage(request)

    def messages(self, ticket_id: str) -> list[ticket_pb2.TicketMessage]:
        """What is said in a ticket, oldest first."""
        request = conversations_pb.ListTicketMessagesRequest(ticket_id=ticket_id, page_size=1000)
        return list(self.conversations.ListTicketMessages(request).messages)

    def merge(self, target_id: str, *ids: str) -> ticket_pb2.Ticket:
        """The ticket with the others in it."""
        return self.relations.MergeTickets(relations_pb.MergeTicketsRequest(target_id=target_id, ids=ids))

    def unmerge(self, ticket_id: str) -> ticket_pb2.Ticket:
        """The ticket on its own again."""
        return self.relations.UnmergeTicket(relations_pb.UnmergeTicketRequest(id=ticket_id))

    def link(self, ticket_id: str, other_id: str) -> None:
        """Link two tickets."""
        self.relations.LinkTickets(relations_pb.LinkTicketsRequest(ticket_id=ticket_id, other_id=other_id))

    def unlink(self, ticket_id: str, other_id: str) -> None:
        """Forget a link."""
        self.relations.UnlinkTickets(relations_pb.UnlinkTicketsRequest(ticket_id=ticket_id, other_id=other_id))

    def linked(self, ticket_id: str) -> set[str]:
        """The ids of the tickets that one is linked to."""
        request = relations_pb.ListLinkedTicketsRequest(ticket_id=ticket_id)
        return {ticket.id for ticket in self.relations.ListLinkedTickets(request).tickets}

    def history(self, ticket_id: str) -> list[ticket_pb2.HistoryEntry]:
        """Everything that was done to a ticket, oldest first."""
        request = tickets_pb.ListTicketHistoryRequest(ticket_id=ticket_id, page_size=1000)
        return list(self.tickets.ListTicketHistory(request).entries)

    def a_queue(self, name: str, *addresses: str, **fields: Any) -> queues_pb.Queue:
        """A queue with these addresses."""
        queue = queues_pb.Queue(name=name, addresses=addresses, **fields)
        return self.queues.CreateQueue(queues_pb.CreateQueueRequest(queue=queue))


@pytest.fixture
def doors(serve: Callable[..., Doors]) -> Doors:
    """Support's open doors, and what waits in its outbox."""
    return serve("support")


@pytest.fixture
def speaking(doors: Doors) -> Callable[..., Support]:
    """`speaking("agent", user=OTHER_AGENT)` is support as that caller sees it."""

    def stubs(*roles: str, user: str = AGENT) -> Support:
        channel = client.speaking_with(
            client.plain_channel(address("support")), lambda: a_token(*roles, subject=f"user:{user}")
        )
        return Support(
            TicketsServiceStub(channel),
            ConversationsServiceStub(channel),
            QueuesServiceStub(channel),
            ViewsServiceStub(channel),
            RelationsServiceStub(channel),
        )

    return stubs


@pytest.fixture
def support(speaking: Callable[..., Support]) -> Support:
    """Support as an agent sees it who may also administer."""
    return speaking("agent", "admin")


@dataclass
class Refusal:
    """How a call was refused."""

    code: grpc.StatusCode | None = None
    message: str = ""
    reason: str = ""
    fields: tuple[str, ...] = ()


@contextmanager
def refused() -> Iterator[Refusal]:
    """The block ends in a refusal by the server, which is then told: code, message, reason, fields to blame."""
    refusal = Refusal()
    with pytest.raises(grpc.RpcError) as raised:
        yield refusal
    error: Any = raised.value
    refusal.code, refusal.message = error.code(), error.details()
    status: Any = rpc_status.from_call(error)
    for detail in status.details if status else ():
        bad, info = error_details_pb2.BadRequest(), error_details_pb2.ErrorInfo()
        if detail.Unpack(bad):
            refusal.fields = tuple(violation.field for violation in bad.field_violations)
        if detail.Unpack(info):
            refusal.reason = info.reason


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    """The SQL statements that support sends inside the block."""
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(database.engine, "before_cursor_execute", note)
