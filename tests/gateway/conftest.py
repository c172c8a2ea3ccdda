"""The gateway's application on real services in this process."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

import pytest
from flask.testing import FlaskClient

from chassis import client
from chassis.clock import now
from chassis.ids import new_id
from chassis.settings import settings
from chassis.signing import sign
from denda.contacts.v1 import consent_service_pb2, people_service_pb2, person_pb2
from denda.contacts.v1.consent_service_pb2_grpc import ConsentServiceStub
from denda.contacts.v1.people_service_pb2_grpc import PeopleServiceStub
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL, Channel
from services import PORTS
from services.campaigns.models import Campaign, CampaignState, Recipient, RecipientState, TrackedLink
from services.campaigns.models import database as campaigns_database
from services.gateway.app import create_app
from services.gateway.clients import Topic
from services.gateway.public.subscriptions import Subscription, token_of
from tests.gateway.desk import Desk
from tests.gateway.support_stub import SupportStub
from tests.kit.doors import Doors

Serve = Callable[..., Doors]
TARGET = "https://shop.example/spring?offer=1&lang=eu"


@dataclass(frozen=True)
class Shop:
    """contacts behind the gateway: people, their consents, and the tokens that their messages would carry."""

    doors: Doors

    def a_person(self, language: str = "", *granted: str) -> str:
        """A person's id, who allows the purposes by email."""
        people = self.doors.stub(PeopleServiceStub, "contacts", "service")
        person = person_pb2.Person(given_name="Ane", language=language)
        made = people.CreatePerson(people_service_pb2.CreatePersonRequest(person=person))
        for purpose in granted:
            self.grant(made.id, purpose)
        return made.id

    def grant(self, person_id: str, purpose: str, channel: Channel.ValueType = CHANNEL_EMAIL) -> None:
        request = consent_service_pb2.GrantConsentRequest(person_id=person_id, purpose=purpose, channel=channel)
        self.doors.stub(ConsentServiceStub, "contacts", "service").GrantConsent(request)

    def ledger(self, person_id: str, *, in_force_only: bool = True) -> list[consent_service_pb2.Consent]:
        request = consent_service_pb2.ListConsentsRequest(person_id=person_id, in_force_only=in_force_only)
        return list(self.doors.stub(ConsentServiceStub, "contacts", "service").ListConsents(request).consents)

    def granted(self, person_id: str) -> set[str]:
        """The purposes that are allowed at present."""
        return {
            entry.purpose
            for entry in self.ledger(person_id)
            if entry.state == consent_service_pb2.Consent.STATE_GRANTED
        }

    def delete(self, person_id: str) -> None:
        request = people_service_pb2.DeletePersonRequest(id=person_id)
        self.doors.stub(PeopleServiceStub, "contacts", "service").DeletePerson(request)


def a_token(person_id: str, purpose: str = "marketing", channel: Channel.ValueType = CHANNEL_EMAIL) -> str:
    """The token of a message to this person."""
    return token_of(Subscription(UUID(person_id), new_id(), Topic(purpose, channel)))


def a_tracked_link(url: str = TARGET) -> tuple[UUID, str]:
    """A message that was sent with one link in it: its id and the link's token."""
    campaign_id, message_id = new_id(), new_id()
    with campaigns_database.transaction() as session:
        session.add(
            Campaign(
                id=campaign_id,
                name="Spring",
                state=CampaignState.SENDING,
                channel=CHANNEL_EMAIL,
                create_time=now(),
                update_time=now(),
            )
        )
        session.flush()
        session.add(TrackedLink(campaign_id=campaign_id, number=1, url=url))
        session.add(
            Recipient(
                campaign_id=campaign_id,
                step=0,
                person_id=new_id(),
                message_id=message_id,
                state=RecipientState.SENT,
                state_time=now(),
            )
        )
    return message_id, sign("link", message_id.bytes + (1).to_bytes(2, "big"))


def the_recipient(message_id: UUID) -> Recipient:
    with campaigns_database.transaction() as session:
        return session.query(Recipient).filter_by(message_id=message_id).one()


@pytest.fixture
def gateway() -> FlaskClient:
    """The gateway with no service behind it, unless another fixture opens some."""
    return create_app().test_client()


@pytest.fixture
def shop(serve: Serve) -> Shop:
    return Shop(serve("contacts"))


@pytest.fixture
def tracking(serve: Serve) -> Doors:
    return serve("campaigns")


@pytest.fixture
def desk(serve: Serve) -> Desk:
    return Desk(serve("contacts", "support", "notifications"))


@pytest.fixture
def support_stub(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Iterator[SupportStub]:
    """A stand-in where the gateway looks for support; the services' token still comes from identity."""
    serve()
    stub = SupportStub()  # type: ignore[abstract]
    monkeypatch.setitem(PORTS, "support", stub.port - settings().port_offset)
    # An earlier one may have had this port, and a channel to it that rests now.
    client.forget_channels()
    yield stub
    stub.close()


@pytest.fixture
def services_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing listens where the services should be."""
    monkeypatch.setenv("DENDA_ADDRESS_TEMPLATE", "127.0.0.1:1")
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()
