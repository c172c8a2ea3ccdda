"""A ticket knows the campaign that its first mail answers, as soon as notifications has found it."""

from uuid import UUID, uuid4

from denda.notifications.v1.events_pb2 import MessageReceived
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL
from services.support import conversation, tickets
from services.support.conversation import Incoming
from services.support.events import HANDLERS
from services.support.models import database
from services.support.states import Source
from services.support.tickets import Draft
from tests.support.conftest import Support

SPRING, AUTUMN = str(uuid4()), str(uuid4())


def a_ticket_with(*mail_ids: UUID) -> str:
    """A ticket with a message for each mail."""
    with database.transaction() as session:
        draft = Draft(subject="Re: Spring", source=Source.EMAIL, requester_address="ane@shop.example")
        ticket = tickets.open_ticket(session, draft, "customer")
        for mail_id in mail_ids:
            conversation.receive(session, ticket, Incoming(text="Do you deliver?", inbound_id=mail_id))
        tickets.announce(session, [ticket])
        return str(ticket.id)


def told(mail_id: UUID, campaign_id: str) -> None:
    event = MessageReceived(id=str(mail_id), channel=CHANNEL_EMAIL, campaign_id=campaign_id)
    with database.transaction() as session:
        HANDLERS[MessageReceived](session, [event])


def test_a_ticket_is_of_the_campaign_that_its_first_mail_answers(support: Support) -> None:
    first, second = uuid4(), uuid4()
    ticket_id = a_ticket_with(first, second)
    told(second, AUTUMN)
    assert support.get(ticket_id).campaign_id == ""
    told(first, SPRING)
    assert support.get(ticket_id).campaign_id == SPRING
    assert support.found(f'campaign = "{SPRING}"') == ["Re: Spring"]


def test_the_same_news_again_changes_nothing(support: Support) -> None:
    first = uuid4()
    ticket_id = a_ticket_with(first)
    told(first, SPRING)
    before = support.get(ticket_id)
    told(first, SPRING)
    told(uuid4(), SPRING)
    told(first, "")
    assert support.get(ticket_id) == before
