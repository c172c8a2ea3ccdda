"""ConversationsService: what is said in a ticket; the contract is denda/support/v1/conversations_service.proto."""

from collections.abc import Iterable, Iterator

from chassis import requests
from chassis.auth import caller
from chassis.errors import PermissionDenied
from chassis.ids import parse_id
from chassis.server import Call
from denda.support.v1 import conversations_service_pb2 as pb
from denda.support.v1 import conversations_service_pb2_grpc as grpc_pb
from denda.support.v1 import ticket_pb2
from services.support import conversation, tickets
from services.support.conversation import Incoming
from services.support.models import Ticket, database
from services.support.states import TicketState
from services.support.translate import attachment_to_proto, message_to_proto, text_from_proto

PIECE_BYTES = 256 * 1024


class ConversationsServicer(grpc_pb.ConversationsServiceServicer):
    """The door to messages, notes and files."""

    def ReplyToTicket(self, request: pb.ReplyToTicketRequest, context: Call) -> ticket_pb2.TicketMessage:
        ticket_id = parse_id(request.ticket_id, "ticket_id")
        text = text_from_proto(request.text, "text")
        state = TicketState(request.state or TicketState.PENDING)
        with database.transaction() as session:
            message_id, repeated = requests.id_for(session, f"answer {ticket_id}", request.request_id)
            if repeated:
                return message_to_proto(conversation.message_by_id(session, message_id))
            ticket = tickets.locked(session, ticket_id, request.etag)
            message = conversation.answer(
                session, ticket, text, state=state, actor=caller().subject, message_id=message_id
            )
            tickets.announce(session, [ticket])
            return message_to_proto(message)

    def AddNote(self, request: pb.AddNoteRequest, context: Call) -> ticket_pb2.TicketMessage:
        ticket_id = parse_id(request.ticket_id, "ticket_id")
        text = text_from_proto(request.text, "text")
        with database.transaction() as session:
            message_id, repeated = requests.id_for(session, f"note {ticket_id}", request.request_id)
            if repeated:
                return message_to_proto(conversation.message_by_id(session, message_id))
            ticket = tickets.locked(session, ticket_id)
            note = conversation.add_note(
                session,
                ticket,
                text,
                mentioned_ids=request.mentioned_ids,
                actor=caller().subject,
                message_id=message_id,
            )
            tickets.announce(session, [ticket])
            return message_to_proto(note)

    def AddCustomerMessage(self, request: pb.AddCustomerMessageRequest, context: Call) -> ticket_pb2.TicketMessage:
        ticket_id = parse_id(request.ticket_id, "ticket_id")
        person_id = parse_id(request.person_id, "person_id")
        text = text_from_proto(request.text, "text")
        with database.transaction() as session:
            message_id, repeated = requests.id_for(session, f"customer {ticket_id}", request.request_id)
            if repeated:
                return message_to_proto(conversation.message_by_id(session, message_id))
            ticket = tickets.survivor(session, ticket_id)
            _require_participant({ticket, tickets.get(session, ticket_id)}, str(person_id))
            said = Incoming(text, author_id=str(person_id), author_name=ticket.requester_name, meant_for=ticket_id)
            message = conversation.receive(session, ticket, said, message_id)
            if request.close:
                tickets.move_to(session, ticket, TicketState.CLOSED, str(person_id))
            tickets.announce(session, [ticket])
            return message_to_proto(message)

    def ListTicketMessages(self, request: pb.ListTicketMessagesRequest, context: Call) -> pb.ListTicketMessagesResponse:
        ticket_id = parse_id(request.ticket_id, "ticket_id")
        with database.transaction() as session:
            tickets.get(session, ticket_id)
            found, token = conversation.page(session, ticket_id, request, public_only=request.public_only)
            return pb.ListTicketMessagesResponse(messages=map(message_to_proto, found), next_page_token=token)

    def DownloadAttachment(
        self, request: pb.DownloadAttachmentRequest, context: Call
    ) -> Iterator[pb.DownloadAttachmentResponse]:
        with database.transaction() as session:
            found = conversation.attachment(session, parse_id(request.id))
            known, content = attachment_to_proto(found), found.content or b""
        yield pb.DownloadAttachmentResponse(attachment=known, data=content[:PIECE_BYTES])
        for start in range(PIECE_BYTES, len(content), PIECE_BYTES):
            yield pb.DownloadAttachmentResponse(data=content[start : start + PIECE_BYTES])


def _require_participant(either: Iterable[Ticket], person_id: str) -> None:
    """Who was in a ticket before it became part of another one may go on, also where the two share an address."""
    known = {str(ticket.requester_id) for ticket in either}
    known |= {str(one.person_id) for ticket in either for one in ticket.participants}
    if person_id not in known:
        raise PermissionDenied("The person is not part of this conversation.", reason="NOT_A_PARTICIPANT")
