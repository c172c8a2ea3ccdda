"""Loads the demo through the public API: every step may be repeated, and what is there already is left as it is."""

from collections.abc import Iterator, Mapping
from io import BytesIO
from uuid import UUID, uuid5

import grpc

from chassis.clock import now
from denda.campaigns.v1 import campaigns_service_pb2 as campaigns_pb
from denda.campaigns.v1.campaign_pb2 import Campaign
from denda.campaigns.v1.campaigns_service_pb2_grpc import CampaignsServiceStub
from denda.contacts.v1 import companies_service_pb2 as companies_pb
from denda.contacts.v1 import consent_service_pb2 as consent_pb
from denda.contacts.v1 import imports_service_pb2 as imports_pb
from denda.contacts.v1 import people_service_pb2 as people_pb
from denda.contacts.v1 import segments_service_pb2 as segments_pb
from denda.contacts.v1.companies_service_pb2_grpc import CompaniesServiceStub
from denda.contacts.v1.consent_service_pb2_grpc import ConsentServiceStub
from denda.contacts.v1.imports_service_pb2_grpc import ImportsServiceStub
from denda.contacts.v1.people_service_pb2_grpc import PeopleServiceStub
from denda.contacts.v1.person_pb2 import AttributeDefinition
from denda.contacts.v1.segments_service_pb2_grpc import SegmentsServiceStub
from denda.notifications.v1.templates_service_pb2 import CreateTemplateRequest
from denda.notifications.v1.templates_service_pb2_grpc import TemplatesServiceStub
from denda.support.v1.inbound_service_pb2 import IngestInboundRequest
from denda.support.v1.inbound_service_pb2_grpc import InboundServiceStub
from denda.support.v1.queues_service_pb2 import CreateQueueRequest
from denda.support.v1.queues_service_pb2_grpc import QueuesServiceStub
from denda.support.v1.views_service_pb2 import CreateViewRequest
from denda.support.v1.views_service_pb2_grpc import ViewsServiceStub
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL, CHANNEL_SMS
from services.cli import session
from services.cli.demo import content
from services.cli.demo.content import Fate
from services.cli.demo.households import Household, households, to_csv
from services.cli.imports import reading, requests
from services.cli.screen import step

# Names every request, so that repeating the demo repeats the same requests.
NAMESPACE = UUID("8a1d2f0c-9a54-4f4f-8f63-3a9f6f1c7d10")
PURPOSE = "marketing"
PERSON = (
    "external_id", "given_name", "family_name", "email", "phone", "language", "time_zone", "lifecycle_stage", "tags",
)  # fmt: skip
EVIDENCE = "Agreed at the till when the loyalty card was handed out (made up for the demo)"


def load(most: int | None = None) -> list[str]:
    """Load everything and launch the campaigns; answers the ids of those that will finish.

    `most` takes only so many households.
    """
    with step("Reading a year of 2,469 households' purchases"):
        chosen = households()[:most]
    _define_attributes()
    _import_people(chosen)
    _found_companies()
    _withdraw_consents()
    segments, templates = _create_segments(), _create_templates()
    _open_support()
    _write_as_strangers()
    return list(_run_campaigns(segments, templates))


def _request_id(what: str) -> str:
    return str(uuid5(NAMESPACE, what))


def _define_attributes() -> None:
    stub = PeopleServiceStub(session.channel("contacts"))
    with step("Defining attributes"):
        for name, kind, description in content.ATTRIBUTES:
            attribute = AttributeDefinition(name=name, type=kind, description=description)
            stub.DefineAttribute(people_pb.DefineAttributeRequest(attribute=attribute))


def _import_people(chosen: list[Household]) -> None:
    data = to_csv(chosen)
    # Named after its content, so that a smaller demo and a later, larger one are two imports.
    plan = imports_pb.ImportPlan(
        import_id=_request_id(data.decode()),
        file_name="households.csv",
        key=imports_pb.ImportPlan.KEY_EXTERNAL_ID,
        mapping={name: f"attributes.{name}" for name, _, _ in content.ATTRIBUTES} | {name: name for name in PERSON},
        consents=[
            imports_pb.ImportConsent(
                purpose=PURPOSE, channel=channel, column=column, basis="consent", evidence_detail=EVIDENCE
            )
            for channel, column in ((CHANNEL_EMAIL, "email_ok"), (CHANNEL_SMS, "sms_ok"))
        ],
    )
    stub = ImportsServiceStub(session.channel("contacts"))
    with step(f"Importing {len(chosen):,} people"), reading("households.csv", len(data)) as read:
        stub.ImportPeople(requests(plan, BytesIO(data), read))


def _withdraw_consents() -> None:
    """Some have changed their minds before anything was sent to them."""
    people = PeopleServiceStub(session.channel("contacts"))
    consents = ConsentServiceStub(session.channel("contacts"))
    wanted = people_pb.ListPeopleRequest(filter=f'{content.OURS} AND tags:"changed-mind"', page_size=1000)
    with step("Recording that some have withdrawn their consent"):
        for person in people.ListPeople(wanted).people:
            evidence = consent_pb.Evidence(source="agent", detail="Told us at the till (made up for the demo)")
            consents.WithdrawConsent(
                consent_pb.WithdrawConsentRequest(
                    person_id=person.id, purpose=PURPOSE, channel=CHANNEL_EMAIL, evidence=evidence
                )
            )


def _found_companies() -> None:
    people = PeopleServiceStub(session.channel("contacts"))
    companies = CompaniesServiceStub(session.channel("contacts"))
    buyers = people_pb.ListPeopleRequest(filter=content.OURS, page_size=len(content.COMPANIES))
    with step("Founding companies"):
        for (company, role), person in zip(content.COMPANIES, people.ListPeople(buyers).people, strict=False):
            request_id = _request_id(f"company {company.name}")
            made = companies.CreateCompany(companies_pb.CreateCompanyRequest(company=company, request_id=request_id))
            membership = companies_pb.Membership(company_id=made.id, person_id=person.id, role=role)
            companies.SetMembership(companies_pb.SetMembershipRequest(membership=membership))


def _create_segments() -> dict[str, str]:
    stub = SegmentsServiceStub(session.channel("contacts"))
    found: dict[str, str] = {}
    with step("Describing segments"):
        for name, filter_text, description in content.SEGMENTS:
            segment = segments_pb.Segment(name=name, filter=filter_text, description=description)
            request = segments_pb.CreateSegmentRequest(segment=segment, request_id=_request_id(f"segment {name}"))
            found[name] = stub.CreateSegment(request).id
    return found


def _create_templates() -> dict[str, str]:
    stub = TemplatesServiceStub(session.channel("notifications"))
    found: dict[str, str] = {}
    with step("Writing templates"):
        for template in content.templates():
            request = CreateTemplateRequest(template=template, request_id=_request_id(f"template {template.name}"))
            found[template.name] = stub.CreateTemplate(request).id
    return found


def _open_support() -> None:
    queues, views = QueuesServiceStub(session.channel("support")), ViewsServiceStub(session.channel("support"))
    with step("Opening a queue for answers"):
        queues.CreateQueue(CreateQueueRequest(queue=content.QUEUE, request_id=_request_id("queue")))
        for view in content.VIEWS:
            views.CreateView(CreateViewRequest(view=view, request_id=_request_id(f"view {view.name}")))


def _write_as_strangers() -> None:
    inbound = InboundServiceStub(session.channel("support"))
    with step("Writing as strangers do"):
        for place, raw in enumerate(content.mails()):
            inbound.IngestInbound(
                IngestInboundRequest(
                    raw=raw,
                    source="api",
                    mailbox=content.MAILBOX,
                    mailbox_key=f"demo {place}",
                    recipients=[content.MAILBOX],
                )
            )


def _run_campaigns(segments: Mapping[str, str], templates: Mapping[str, str]) -> Iterator[str]:
    stub = CampaignsServiceStub(session.channel("campaigns"))
    for plan in content.CAMPAIGNS:
        campaign = Campaign(
            name=plan.name,
            channel=plan.channel,
            segment_id=segments[plan.segment],
            template_id=templates[plan.template],
            purpose=PURPOSE,
            sender=plan.sender,
            track=True,
        )
        request_id = _request_id(f"campaign {plan.name}")
        made = stub.CreateCampaign(campaigns_pb.CreateCampaignRequest(campaign=campaign, request_id=request_id))
        if made.state == Campaign.STATE_DRAFT and plan.fate != Fate.DRAFT:
            _decide(stub, plan, made.id)
        if plan.fate == Fate.LAUNCHED:
            yield made.id


def _decide(stub: CampaignsServiceStub, plan: content.Plan, campaign_id: str) -> None:
    if plan.fate == Fate.SCHEDULED:
        later = campaigns_pb.ScheduleCampaignRequest(id=campaign_id)
        later.schedule_time.FromDatetime(now() + content.LATER)
        with step(f"Scheduling “{plan.name}”"):
            stub.ScheduleCampaign(later, timeout=60)
        return
    with step(f"Launching “{plan.name}”"):
        stub.LaunchCampaign(campaigns_pb.LaunchCampaignRequest(id=campaign_id), timeout=60)
        if plan.fate == Fate.PAUSED:
            _pause(stub, campaign_id)


def _pause(stub: CampaignsServiceStub, campaign_id: str) -> None:
    """Pause a campaign that was launched a moment ago, unless it is finished already, as a small one may be."""
    try:
        stub.PauseCampaign(campaigns_pb.PauseCampaignRequest(id=campaign_id))
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.FAILED_PRECONDITION:
            raise
