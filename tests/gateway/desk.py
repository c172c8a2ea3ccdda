"""support behind the gateway, as an agent sees it."""

from collections.abc import Sequence
from dataclasses import dataclass

from denda.contacts.v1.people_service_pb2 import ListPeopleRequest, UpdatePersonRequest
from denda.contacts.v1.people_service_pb2_grpc import PeopleServiceStub
from denda.contacts.v1.person_pb2 import Person
from denda.notifications.v1.messages_service_pb2 import ListSandboxMessagesRequest, SandboxMessage
from denda.notifications.v1.messages_service_pb2_grpc import MessagesServiceStub
from denda.support.v1 import conversations_service_pb2 as conversations
from denda.support.v1 import tickets_service_pb2 as tickets
from denda.support.v1.conversations_service_pb2_grpc import ConversationsServiceStub
from denda.support.v1.ticket_pb2 import SOURCE_EMAIL, TICKET_ORDER_CREATED, Participant, Ticket, TicketMessage
from denda.support.v1.tickets_service_pb2_grpc import TicketsServiceStub
from tests.kit.doors import Doors


@dataclass(frozen=True)
class Desk:
    """What an agent does and sees, through the doors of support and its neighbours."""

    doors: Doors

    @property
    def _tickets(self) -> TicketsServiceStub:
        return self.doors.stub(TicketsServiceStub, "support", "agent")

    @property
    def _conversations(self) -> ConversationsServiceStub:
        return self.doors.stub(ConversationsServiceStub, "support", "agent")

    @property
    def _people(self) -> PeopleServiceStub:
        return self.doors.stub(PeopleServiceStub, "contacts", "service")

    def asked(self, address: str, subject: str, text: str, participants: Sequence[Participant] = ()) -> Ticket:
        """A ticket that somebody has opened."""
        ticket = Ticket(subject=subject, source=SOURCE_EMAIL, requester_address=address, participants=participants)
        return self._tickets.CreateTicket(tickets.CreateTicketRequest(ticket=ticket, text=text))

    def ticket(self, ticket_id: str) -> Ticket:
        """A ticket as it is now."""
        return self._tickets.GetTicket(tickets.GetTicketRequest(id=ticket_id))

    def tickets(self) -> list[Ticket]:
        """All tickets, the first one first."""
        request = tickets.ListTicketsRequest(order=TICKET_ORDER_CREATED)
        return list(self._tickets.ListTickets(request).tickets)[::-1]

    def said(self, ticket: Ticket) -> list[TicketMessage]:
        """Everything in a ticket, oldest first."""
        request = conversations.ListTicketMessagesRequest(ticket_id=ticket.id)
        return list(self._conversations.ListTicketMessages(request).messages)

    def reply(self, ticket: Ticket, text: str) -> None:
        """Answer the customer."""
        request = conversations.ReplyToTicketRequest(ticket_id=ticket.id, text=text, request_id=f"answer {text}")
        self._conversations.ReplyToTicket(request)

    def note(self, ticket: Ticket, text: str) -> None:
        """Write what only agents see."""
        self._conversations.AddNote(conversations.AddNoteRequest(ticket_id=ticket.id, text=text))

    def people(self) -> list[Person]:
        """Everybody whom contacts knows."""
        return list(self._people.ListPeople(ListPeopleRequest()).people)

    def learn(self, person_id: str, **known: str) -> None:
        """Record something about a person."""
        self._people.UpdatePerson(UpdatePersonRequest(person=Person(id=person_id, **known)))  # type: ignore[arg-type]

    def mails(self, address: str) -> list[SandboxMessage]:
        """What was sent to an address."""
        request = ListSandboxMessagesRequest(address=address)
        stub = self.doors.stub(MessagesServiceStub, "notifications", "service")
        return list(stub.ListSandboxMessages(request).messages)
