"""RelationsService: merges, splits and links; the contract is denda/support/v1/relations_service.proto."""

from chassis import requests
from chassis.auth import caller
from chassis.ids import parse_id
from chassis.server import Call
from denda.support.v1 import relations_service_pb2 as pb
from denda.support.v1 import relations_service_pb2_grpc as grpc_pb
from denda.support.v1 import ticket_pb2
from services.support import links, merging, splitting, tickets
from services.support.models import database
from services.support.translate import ticket_to_proto


class RelationsServicer(grpc_pb.RelationsServiceServicer):
    """The door to what tickets have to do with each other."""

    def MergeTickets(self, request: pb.MergeTicketsRequest, context: Call) -> ticket_pb2.Ticket:
        target_id = parse_id(request.target_id, "target_id")
        ids = [parse_id(ticket_id, "ids") for ticket_id in request.ids]
        with database.transaction() as session:
            return ticket_to_proto(merging.merge(session, target_id, ids, caller().subject, request.etag))

    def UnmergeTicket(self, request: pb.UnmergeTicketRequest, context: Call) -> ticket_pb2.Ticket:
        with database.transaction() as session:
            return ticket_to_proto(merging.unmerge(session, parse_id(request.id), caller().subject))

    def SplitTicket(self, request: pb.SplitTicketRequest, context: Call) -> ticket_pb2.Ticket:
        ticket_id = parse_id(request.id)
        message_ids = [parse_id(message_id, "message_ids") for message_id in request.message_ids]
        actor = caller().subject
        with database.transaction() as session:
            new_id, repeated = requests.id_for(session, f"split {ticket_id}", request.request_id)
            if repeated:
                return ticket_to_proto(tickets.get(session, new_id))
            made = splitting.split(session, ticket_id, message_ids, subject=request.subject, actor=actor, new_id=new_id)
            return ticket_to_proto(made)

    def LinkTickets(self, request: pb.LinkTicketsRequest, context: Call) -> pb.LinkTicketsResponse:
        ticket_id, other_id = parse_id(request.ticket_id, "ticket_id"), parse_id(request.other_id, "other_id")
        with database.transaction() as session:
            links.link(session, ticket_id, other_id, caller().subject)
            return pb.LinkTicketsResponse()

    def UnlinkTickets(self, request: pb.UnlinkTicketsRequest, context: Call) -> pb.UnlinkTicketsResponse:
        ticket_id, other_id = parse_id(request.ticket_id, "ticket_id"), parse_id(request.other_id, "other_id")
        with database.transaction() as session:
            links.unlink(session, ticket_id, other_id, caller().subject)
            return pb.UnlinkTicketsResponse()

    def ListLinkedTickets(self, request: pb.ListLinkedTicketsRequest, context: Call) -> pb.ListLinkedTicketsResponse:
        ticket_id = parse_id(request.ticket_id, "ticket_id")
        with database.transaction() as session:
            tickets.get(session, ticket_id)
            return pb.ListLinkedTicketsResponse(tickets=map(ticket_to_proto, links.linked(session, ticket_id)))
