"""The story of a campaign: from a customer file to mails, clicks, answers and explanations, over real wires."""

import email
import re
import threading
from collections import Counter
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import default as modern
from urllib.error import HTTPError

import pytest

from denda.campaigns.v1 import campaign_pb2 as pb
from denda.campaigns.v1 import campaigns_service_pb2 as service_pb
from denda.campaigns.v1.campaigns_service_pb2_grpc import CampaignsServiceStub
from denda.contacts.v1 import people_service_pb2, person_pb2, timeline_service_pb2
from denda.contacts.v1 import segments_service_pb2 as segments
from denda.contacts.v1.people_service_pb2_grpc import PeopleServiceStub
from denda.contacts.v1.segments_service_pb2_grpc import SegmentsServiceStub
from denda.contacts.v1.timeline_service_pb2_grpc import TimelineServiceStub
from denda.notifications.v1 import templates_service_pb2 as templates
from denda.notifications.v1.templates_service_pb2_grpc import TemplatesServiceStub
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL
from tests.journeys.conftest import Shop
from tests.kit.events import eventually

# Sender threads leave their connections to the relay behind, as a process that ends does.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

OFFER = "https://shop.example/offers/cheese"
HTML = f"""<html><body><p>Kaixo, {{{{ given_name }}}}! There is cheese in {{{{ city }}}}.</p>
<p><a href="{OFFER}">See it</a></p></body></html>"""
GONE, SILENT, TWIN = "gone@shop.example", "silent@shop.example", "customer1@shop.example"


@dataclass(frozen=True)
class Marketer:
    """Somebody who plans and watches campaigns."""

    shop: Shop

    @property
    def campaigns(self) -> CampaignsServiceStub:
        return self.shop.stub(CampaignsServiceStub, "campaigns", "marketer")

    def launch(self, name: str) -> pb.Campaign:
        """Launch a campaign to everybody in Bilbo."""
        segment = segments.Segment(name=name, filter='city = "Bilbo"')
        variant = templates.Variant(language="en", subject="For {{ given_name }}", html=HTML)
        template = templates.Template(name=name, channel=CHANNEL_EMAIL, variants=[variant])
        made = self.shop.stub(SegmentsServiceStub, "contacts", "marketer").CreateSegment(
            segments.CreateSegmentRequest(segment=segment)
        )
        written = self.shop.stub(TemplatesServiceStub, "notifications", "marketer").CreateTemplate(
            templates.CreateTemplateRequest(template=template)
        )
        campaign = pb.Campaign(
            name=name,
            channel=CHANNEL_EMAIL,
            segment_id=made.id,
            template_id=written.id,
            sender="Shop <news@shop.example>",
            track=True,
        )
        draft = self.campaigns.CreateCampaign(service_pb.CreateCampaignRequest(campaign=campaign))
        return self.campaigns.LaunchCampaign(service_pb.LaunchCampaignRequest(id=draft.id, etag=draft.etag))

    def watch(self, campaign: pb.Campaign) -> service_pb.WatchCampaignResponse:
        """Watch a campaign to its end."""
        *_, last = self.campaigns.WatchCampaign(service_pb.WatchCampaignRequest(id=campaign.id), timeout=240)
        return last

    def results(self, campaign: pb.Campaign) -> pb.Results:
        return self.campaigns.GetResults(service_pb.GetResultsRequest(campaign_id=campaign.id))

    def explain(self, campaign: pb.Campaign, address: str) -> service_pb.ExplainRecipientResponse:
        request = service_pb.ExplainRecipientRequest(campaign_id=campaign.id, person_id=self.person(address))
        return self.campaigns.ExplainRecipient(request)

    def person(self, address: str) -> str:
        """The id of a person with this address."""
        people = self.shop.stub(PeopleServiceStub, "contacts", "viewer")
        found = people.ListPeople(people_service_pb2.ListPeopleRequest(filter=f'email = "{address}"')).people
        return found[0].id

    def timeline(self, address: str) -> Counter[tuple[str, str]]:
        """What happened with a person: kinds and states."""
        stub = self.shop.stub(TimelineServiceStub, "contacts", "agent")
        request = timeline_service_pb2.ListActivitiesRequest(person_id=self.person(address))
        return Counter((one.kind, one.state) for one in stub.ListActivities(request).activities)


@pytest.fixture
def marketer(shop: Shop) -> Marketer:
    return Marketer(shop)


def a_customer(number: int, **changes: str) -> dict[str, str]:
    given = {
        "email": f"customer{number}@shop.example",
        "given_name": f"Name {number}",
        "language": "en",
        "time_zone": "Europe/Madrid",
        "city": "Bilbo",
        "agreed": "yes",
    }
    return given | changes


def import_customers(shop: Shop, count: int, *others: dict[str, str]) -> None:
    """So many customers in Bilbo who agreed to marketing, and others."""
    attribute = person_pb2.AttributeDefinition(name="city", type=person_pb2.AttributeDefinition.TYPE_STRING)
    people = shop.stub(PeopleServiceStub, "contacts", "marketer")
    people.DefineAttribute(people_service_pb2.DefineAttributeRequest(attribute=attribute))
    report = shop.import_people([*(a_customer(number) for number in range(count)), *others])
    assert report.failed == 0


def mail_to(shop: Shop, address: str) -> EmailMessage:
    """The one mail that an address got."""
    (mail,) = [mail for mail in shop.sink.mails() if mail.recipient == address]
    parsed = email.message_from_string(mail.text, policy=modern)
    assert isinstance(parsed, EmailMessage)
    return parsed


def link_in(mail: EmailMessage, path: str) -> str:
    """The address of this installation in the mail that begins with this path."""
    body = mail.get_body(("html",))
    assert body is not None
    found = re.search(rf'"(http://127\.0\.0\.1:\d+/{path}/[^"]+)"', body.get_content())
    assert found is not None
    return found.group(1)


def test_a_campaign_from_the_customer_file_to_the_last_explanation(shop: Shop, marketer: Marketer) -> None:
    silent, elsewhere = a_customer(90, email=SILENT, agreed="no"), a_customer(91, city="Baiona")
    import_customers(shop, 20, a_customer(92, email=GONE), silent, elsewhere)
    shop.sink.configure(keep=True, recipients={GONE: "550 5.1.1 no such user"})
    campaign = marketer.launch("Cheese")
    last = marketer.watch(campaign)
    assert last.campaign.state == pb.Campaign.STATE_FINISHED
    counts = last.results
    assert (counts.recipients, counts.sent, counts.bounced, counts.skipped) == (22, 20, 1, 1)
    assert dict(counts.skipped_by_reason) == {"NO_CONSENT": 1}
    assert shop.sink.copies() == Counter({f"customer{number}@shop.example": 1 for number in range(20)})
    mail = mail_to(shop, TWIN)
    assert mail["Subject"] == "For Name 1"
    body = mail.get_body(("html",))
    assert body is not None
    assert "There is cheese in Bilbo" in body.get_content()
    _explanations(marketer, campaign)
    _engagement(shop, marketer, campaign, mail)
    _unsubscribing(shop, marketer, campaign, mail)


def _explanations(marketer: Marketer, campaign: pb.Campaign) -> None:
    assert marketer.explain(campaign, TWIN).summary.startswith("Sent: the provider took the message on 20")
    assert marketer.explain(campaign, SILENT).summary == (
        "Not sent: nobody ever recorded consent for marketing by email."
    )
    bounced = marketer.explain(campaign, GONE)
    assert bounced.summary.startswith("Bounced: the message was sent and came back on 20")
    assert "no such user" in bounced.summary
    kinds = {fact.kind for fact in bounced.facts}
    assert {"SEGMENT", "CONSENT", "SUPPRESSION", "FREQUENCY_CAP", "WINDOW", "PROVIDER", "STATE"} <= kinds
    assert not [fact.text for fact in bounced.facts if fact.text.startswith("Could not be asked")]
    stranger = marketer.explain(campaign, "customer91@shop.example")
    assert stranger.summary == "Not sent: the person is not in the campaign's segment."


def _engagement(shop: Shop, marketer: Marketer, campaign: pb.Campaign, mail: EmailMessage) -> None:
    """The reader opens and clicks; what comes within a second of sending would count as a machine's."""
    click, pixel = link_in(mail, "l"), link_in(mail, "o")

    def opened_and_clicked() -> bool:
        shop.visit(pixel)
        with pytest.raises(HTTPError) as elsewhere:
            shop.visit(click)
        assert elsewhere.value.headers["Location"] == OFFER
        counts = marketer.results(campaign)
        return (counts.opened, counts.clicked) == (1, 1)

    eventually(opened_and_clicked)
    eventually(lambda: {("open", ""), ("click", "")} <= set(marketer.timeline(TWIN)))
    eventually(lambda: marketer.timeline(TWIN)["message", "sent"] == 1)
    eventually(lambda: marketer.timeline(GONE)["message", "bounced"] == 1)


def _unsubscribing(shop: Shop, marketer: Marketer, campaign: pb.Campaign, mail: EmailMessage) -> None:
    """One click (RFC 8058) withdraws consent, which the next campaign obeys."""
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    (url,) = re.findall("<(http[^>]+)>", mail["List-Unsubscribe"])
    shop.visit(url)
    assert marketer.results(campaign).unsubscribed == 0
    shop.visit(url, b"List-Unsubscribe=One-Click")
    eventually(lambda: marketer.results(campaign).unsubscribed == 1)
    again = marketer.launch("More cheese")
    counts = marketer.watch(again).results
    assert dict(counts.skipped_by_reason) == {"NO_CONSENT": 1, "CONSENT_WITHDRAWN": 1, "SUPPRESSED": 1}
    assert counts.sent == 19
    assert shop.sink.copies()[TWIN] == 1
    assert "withdrew consent" in marketer.explain(again, TWIN).summary


def test_a_campaign_that_is_paused_and_resumed_reaches_everybody_once(shop: Shop, marketer: Marketer) -> None:
    import_customers(shop, 300)
    shop.sink.configure(stall=0.02)
    campaign = marketer.launch("Slow")
    eventually(lambda: shop.sink.count() > 20)
    marketer.campaigns.PauseCampaign(service_pb.PauseCampaignRequest(id=campaign.id))
    eventually(lambda: _rests(shop))
    assert shop.sink.count() < 300
    assert marketer.results(campaign).planned > 0
    marketer.campaigns.ResumeCampaign(service_pb.ResumeCampaignRequest(id=campaign.id))
    assert marketer.watch(campaign).results.sent == 300
    assert shop.sink.copies() == Counter({f"customer{number}@shop.example": 1 for number in range(300)})


def test_a_cancelled_campaign_accounts_for_everybody(shop: Shop, marketer: Marketer) -> None:
    import_customers(shop, 300)
    shop.sink.configure(stall=0.02)
    campaign = marketer.launch("Cut short")
    eventually(lambda: shop.sink.count() > 20)
    marketer.campaigns.CancelCampaign(service_pb.CancelCampaignRequest(id=campaign.id))
    last = marketer.watch(campaign)
    assert last.campaign.state == pb.Campaign.STATE_CANCELLED
    counts = last.results
    assert counts.planned == 0
    assert counts.sent + counts.skipped == counts.recipients == 300
    assert counts.skipped_by_reason["CANCELLED"] == counts.skipped > 0
    assert shop.sink.count() == counts.sent
    assert set(shop.sink.copies().values()) == {1}


def _rests(shop: Shop) -> bool:
    """Nothing more comes in for longer than a mail takes."""
    before = shop.sink.count()
    threading.Event().wait(1.5)
    return shop.sink.count() == before
