"""TicketsService: tickets made, found, changed and watched; the contract is denda/support/v1/tickets_service.proto."""

from collections.abc import Iterator

from chassis import requests
from chassis.auth import caller
from chassis.ids import parse_id
from chassis.server import Call
from denda.support.v1 import ticket_pb2
from denda.support.v1 import tickets_service_pb2 as pb
from denda.support.v1 import tickets_service_pb2_grpc as grpc_pb
from services.support import bulk, conversation, criteria, history, lists, presence, tickets, views, watch
from services.support.conversation import Incoming
from services.support.criteria import Order
from services.support.models import database
from services.support.presence import Activity
from services.support.requesters import requester_of
from services.support.translate import (
    changes_from_proto,
    draft_from_proto,
    entry_to_proto,
    listed_to_proto,
    news_to_proto,
    presence_to_proto,
    tags_from_proto,
    text_from_proto,
    ticket_to_proto,
)
from services.support.views import Listing


class TicketsServicer(grpc_pb.TicketsServiceServicer):
    """The door to tickets."""

    def CreateTicket(self, request: pb.CreateTicketRequest, context: Call) -> ticket_pb2.Ticket:
        text = text_from_proto(request.text, "text")
        draft = requester_of(draft_from_proto(request.ticket))
        actor = caller().subject
        with database.transaction() as session:
            ticket_id, repeated = requests.id_for(session, "ticket", request.request_id)
            if repeated:
                return ticket_to_proto(tickets.get(session, ticket_id))
            ticket = tickets.open_ticket(session, draft, actor, ticket_id)
            author = str(draft.requester_id or "")
            said = Incoming(
                text, author_id=author, author_name=draft.requester_name, from_address=draft.requester_address
            )
            conversation.receive(session, ticket, said)
            tickets.announce(session, [ticket])
            return ticket_to_proto(ticket)

    def GetTicket(self, request: pb.GetTicketRequest, context: Call) -> ticket_pb2.Ticket:
        with database.transaction() as session:
            return ticket_to_proto(tickets.get(session, parse_id(request.id)))

    def ListTickets(self, request: pb.ListTicketsRequest, context: Call) -> pb.ListTicketsResponse:
        rows, token = lists.page(_listing(request, Order(request.order)), request, caller().subject)
        return pb.ListTicketsResponse(tickets=map(listed_to_proto, rows), next_page_token=token)

    def UpdateTicket(self, request: pb.UpdateTicketRequest, context: Call) -> ticket_pb2.Ticket:
        ticket_id = parse_id(request.ticket.id, "ticket.id")
        changes = changes_from_proto(request.ticket, request.update_mask.paths)
        with database.transaction() as session:
            return ticket_to_proto(tickets.update(session, ticket_id, changes, caller().subject, request.ticket.etag))

    def BatchUpdateTickets(self, request: pb.BatchUpdateTicketsRequest, context: Call) -> pb.BatchUpdateTicketsResponse:
        change = bulk.Change(
            fields=changes_from_proto(request.ticket, request.update_mask.paths, bulk.CHANGEABLE),
            add_tags=tags_from_proto(request.add_tags),
            remove_tags=tags_from_proto(request.remove_tags),
        )
        ids = [parse_id(ticket_id, "ids") for ticket_id in request.ids]
        with database.transaction() as session:
            changed, failures = bulk.update(session, ids, change, caller().subject)
            answer = pb.BatchUpdateTicketsResponse(tickets=map(ticket_to_proto, changed))
            for ticket_id, reason in failures:
                answer.failures.add(id=str(ticket_id), reason=reason)
            return answer

    def ListTicketHistory(self, request: pb.ListTicketHistoryRequest, context: Call) -> pb.ListTicketHistoryResponse:
        ticket_id = parse_id(request.ticket_id, "ticket_id")
        with database.transaction() as session:
            tickets.get(session, ticket_id)
            entries, token = history.page(session, ticket_id, request)
            return pb.ListTicketHistoryResponse(entries=map(entry_to_proto, entries), next_page_token=token)

    def SetPresence(self, request: pb.SetPresenceRequest, context: Call) -> pb.SetPresenceResponse:
        ticket_id = parse_id(request.ticket_id, "ticket_id")
        with database.transaction() as session:
            others = presence.note(
                session, ticket_id, caller().subject.removeprefix("user:"), Activity(request.activity)
            )
            return pb.SetPresenceResponse(others=map(presence_to_proto, others))

    def WatchTickets(self, request: pb.WatchTicketsRequest, context: Call) -> Iterator[pb.WatchTicketsResponse]:
        wanted = _listing(request, Order.RECENT)
        has_list = bool(request.cursor) or not request.include_current
        watcher = watch.Watcher(criteria.condition(wanted.filter), has_list=has_list)
        if not context.add_callback(watcher.leave):
            return
        for news in watch.news(watcher, include_current=request.include_current, cursor=request.cursor):
            yield news_to_proto(news)


def _listing(request: pb.ListTicketsRequest | pb.WatchTicketsRequest, order: Order) -> Listing:
    if not request.view_id:
        return Listing(request.filter, order)
    with database.transaction() as session:
        return views.narrowed(session, parse_id(request.view_id, "view_id"), request.filter, order, caller())
