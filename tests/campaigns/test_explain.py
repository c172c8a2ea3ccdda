"""Explaining: a sentence and its facts for everybody, in the ledger or not."""

from datetime import timedelta

import grpc
import pytest

from chassis.clock import now
from chassis.moments import timestamp
from denda.campaigns.v1 import campaign_pb2 as pb
from denda.campaigns.v1 import campaigns_service_pb2 as service_pb
from denda.campaigns.v1.campaigns_service_pb2_grpc import CampaignsServiceStub
from denda.contacts.v1.consent_service_pb2 import Consent, Evidence
from denda.contacts.v1.events_pb2 import PersonDeleted
from denda.notifications.v1.messages_service_pb2 import MessageEvent
from denda.notifications.v1.suppressions_service_pb2 import Policy, Suppression
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL
from services.campaigns import events, jobs, planning
from services.campaigns.models import database
from tests.campaigns.neighbours import Neighbours, a_candidate, a_message, person_id
from tests.campaigns.stories import a_change, a_draft, hear, launched, message_of, planned


def explained(stub: CampaignsServiceStub, campaign: pb.Campaign, number: int) -> service_pb.ExplainRecipientResponse:
    """The explanation for the person with this number."""
    request = service_pb.ExplainRecipientRequest(campaign_id=campaign.id, person_id=str(person_id(number)))
    return stub.ExplainRecipient(request)


def texts(answer: service_pb.ExplainRecipientResponse, kind: str) -> list[str]:
    return [fact.text for fact in answer.facts if fact.kind == kind]


def a_grant(neighbours: Neighbours) -> Consent:
    """The entry of the ledger that lets the first person be written to."""
    return Consent(
        id=neighbours.candidates[0].consent_id,
        person_id=str(person_id(1)),
        purpose="marketing",
        channel=CHANNEL_EMAIL,
        state=Consent.STATE_GRANTED,
        basis="consent",
        evidence=Evidence(source="import", detail="customers.csv line 2"),
        create_time=timestamp(now()),
    )


def test_a_sent_message_is_explained_from_segment_to_engagement(
    marketer: CampaignsServiceStub, neighbours: Neighbours
) -> None:
    campaign = planned(marketer)
    message_id = message_of(campaign, 1)
    neighbours.ledger = [a_grant(neighbours)]
    neighbours.sent[str(message_id)] = a_message(message_id, provider="smtp", provider_reference="<1@shop.example>")
    neighbours.events[str(message_id)] = [
        MessageEvent(kind="accepted", time=timestamp(now())),
        MessageEvent(kind="sent", detail="250 queued as 4711", time=timestamp(now())),
    ]
    neighbours.policy = Policy(frequency_cap=3, cap_days=7, quiet_from="21:00", quiet_until="08:00")
    hear(a_change(campaign, 1, "SENT", detail="250 queued as 4711", time=timestamp(now() - timedelta(minutes=1))))
    answer = explained(marketer, campaign, 1)
    assert answer.summary.startswith("Sent: the provider took the message on 20")
    assert answer.recipient.state == pb.RECIPIENT_STATE_SENT
    kinds = [fact.kind for fact in answer.facts]
    assert kinds == [
        "SEGMENT",
        "CONSENT",
        "SUPPRESSION",
        "FREQUENCY_CAP",
        "WINDOW",
        "WINDOW",
        "PROVIDER",
        "PROVIDER",
        "PROVIDER",
        "STATE",
    ]
    assert "customers.csv line 2" in texts(answer, "CONSENT")[0]
    assert "This entry decided." in texts(answer, "CONSENT")[0]
    assert "at most 3 campaign messages in 7 days" in texts(answer, "FREQUENCY_CAP")[0]
    assert "21:00 to 08:00" in texts(answer, "WINDOW")[0]
    assert "250 queued as 4711" in texts(answer, "PROVIDER")[1]
    assert {fact.source for fact in answer.facts} == {"contacts", "campaigns", "notifications"}


@pytest.mark.parametrize(
    ("state", "summary"),
    [
        ("DELIVERED", "Delivered: the provider says that the message arrived"),
        ("BOUNCED", "Bounced: the message was sent and came back"),
        ("FAILED", "Failed: the message could not be sent"),
        ("UNKNOWN", "Unknown: nobody can say whether the provider took the message, and it is not sent again"),
    ],
)
def test_each_outcome_has_its_sentence(marketer: CampaignsServiceStub, state: str, summary: str) -> None:
    campaign = planned(marketer)
    hear(a_change(campaign, 1, state, detail="550 5.1.1 no such user."))
    said = explained(marketer, campaign, 1).summary
    assert said.startswith(summary)
    assert said.endswith(": 550 5.1.1 no such user.")


@pytest.mark.parametrize(
    ("ineligibility", "summary"),
    [
        ("NO_ADDRESS", "Not sent: the person has no address for email."),
        ("NO_CONSENT", "Not sent: nobody ever recorded consent for marketing by email."),
        ("CONSENT_WITHDRAWN", "Not sent: the person withdrew consent for marketing by email."),
    ],
)
def test_who_was_skipped_by_the_plan_learns_why(
    marketer: CampaignsServiceStub, neighbours: Neighbours, ineligibility: str, summary: str
) -> None:
    neighbours.candidates.append(a_candidate(4, ineligibility=f"INELIGIBILITY_{ineligibility}"))
    answer = explained(marketer, planned(marketer), 4)
    assert answer.summary == summary
    assert answer.recipient.skip_reason == pb.SkipReason.Value(f"SKIP_REASON_{ineligibility}")
    assert texts(answer, "CONSENT") == ["Nobody recorded consent for marketing by email."]


def test_a_second_person_at_an_address_learns_of_the_first(
    marketer: CampaignsServiceStub, neighbours: Neighbours
) -> None:
    neighbours.candidates.append(a_candidate(4, address="person1@shop.example"))
    answer = explained(marketer, planned(marketer), 4)
    expected = "Not sent: somebody else in the campaign has the same address, which gets one message only."
    assert answer.summary == expected


@pytest.mark.parametrize(
    ("reason", "summary"),
    [
        ("SUPPRESSED", "Not sent: the address is on the suppression list (why)."),
        ("CONSENT_WITHDRAWN", "Not sent: the person withdrew consent for marketing by email (why)."),
        ("FREQUENCY_CAP", "Not sent: the person had as many messages as the policy allows (why)."),
        ("EXPIRED", "Not sent: quiet hours or trouble lasted beyond the message's expiry (why)."),
        ("CANCELLED", "Not sent: the campaign was cancelled before it was this person's turn (why)."),
        ("PERSON_DELETED", "Not sent: the person was deleted (why)."),
    ],
)
def test_who_was_skipped_by_notifications_learns_why(marketer: CampaignsServiceStub, reason: str, summary: str) -> None:
    campaign = planned(marketer)
    hear(a_change(campaign, 1, "SKIPPED", skip_reason=f"SKIP_REASON_{reason}", detail="why."))
    assert explained(marketer, campaign, 1).summary == summary


def test_a_suppressed_address_is_shown_with_its_reason(marketer: CampaignsServiceStub, neighbours: Neighbours) -> None:
    campaign = planned(marketer)
    message_id = message_of(campaign, 1)
    neighbours.sent[str(message_id)] = a_message(message_id)
    neighbours.events[str(message_id)] = [
        MessageEvent(kind="skipped", detail="suppressed: hard bounce", time=timestamp(now()))
    ]
    neighbours.suppressed = [
        Suppression(address="other@shop.example"),
        Suppression(
            address="PERSON1@shop.example",
            reason=Suppression.REASON_HARD_BOUNCE,
            detail="550 gone",
            create_time=timestamp(now()),
        ),
    ]
    said = texts(explained(marketer, campaign, 1), "SUPPRESSION")
    assert said == ["The address is on the suppression list (hard bounce) 550 gone", "skipped: suppressed: hard bounce"]


def test_a_planned_recipient_learns_what_it_waits_for(marketer: CampaignsServiceStub, neighbours: Neighbours) -> None:
    campaign = planned(marketer)
    assert explained(marketer, campaign, 1).summary.endswith("planned and on its way to notifications.")
    message_id = message_of(campaign, 1)
    neighbours.sent[str(message_id)] = a_message(message_id, detail="quiet hours until 08:00")
    assert explained(marketer, campaign, 1).summary.endswith("(quiet hours until 08:00).")
    marketer.PauseCampaign(service_pb.PauseCampaignRequest(id=campaign.id))
    assert explained(marketer, campaign, 1).summary == "Not sent yet: the campaign is paused."
    marketer.CancelCampaign(service_pb.CancelCampaignRequest(id=campaign.id))
    assert "cancelled" in explained(marketer, campaign, 1).summary


def test_somebody_outside_of_the_segment_learns_that(marketer: CampaignsServiceStub) -> None:
    answer = explained(marketer, planned(marketer), 77)
    assert answer.summary == "Not sent: the person is not in the campaign's segment."
    assert not answer.HasField("recipient")
    assert 'The person does not fit the segment\'s filter now: tags:"vip"' in texts(answer, "SEGMENT")


def test_somebody_who_came_into_the_segment_later_learns_that(
    marketer: CampaignsServiceStub, neighbours: Neighbours
) -> None:
    campaign = planned(marketer)
    neighbours.candidates.append(a_candidate(4))
    answer = explained(marketer, campaign, 4)
    assert answer.summary == "Not sent: the person came into the segment after the campaign was launched."


def test_a_person_whom_contacts_does_not_know_learns_that(
    marketer: CampaignsServiceStub, neighbours: Neighbours
) -> None:
    campaign = planned(marketer)
    neighbours.failures["ExplainCandidate"] = [grpc.StatusCode.NOT_FOUND]
    answer = explained(marketer, campaign, 77)
    assert answer.summary == "Not sent: contacts knows no such person; deleted, or never there."


def test_a_deleted_person_of_the_ledger_is_still_explained(
    marketer: CampaignsServiceStub, neighbours: Neighbours
) -> None:
    campaign = planned(marketer)
    hear(a_change(campaign, 1, "SENT"))
    with database.transaction() as session:
        events.on_person_deleted(session, [PersonDeleted(person_id=str(person_id(1)))])
    neighbours.failures["ListConsents"] = [grpc.StatusCode.NOT_FOUND]
    answer = explained(marketer, campaign, 1)
    assert answer.summary.startswith("Sent:")
    assert "The person was deleted since." in texts(answer, "STATE")


def test_a_campaign_that_was_not_launched_says_so(marketer: CampaignsServiceStub) -> None:
    draft = a_draft(marketer)
    answer = explained(marketer, draft, 1)
    assert answer.summary == "Not sent: the campaign has not been launched."
    assert 'The person fits the segment\'s filter now: tags:"vip"' in texts(answer, "SEGMENT")
    marketer.CancelCampaign(service_pb.CancelCampaignRequest(id=draft.id))
    assert explained(marketer, draft, 1).summary == "Not sent: the campaign was cancelled before it was launched."
    assert explained(marketer, a_draft(marketer, segment_id=""), 1).summary.endswith("has not been launched.")


def test_whom_the_plan_has_not_reached_learns_that(
    marketer: CampaignsServiceStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = launched(marketer)
    assert explained(marketer, campaign, 3).summary == "Not sent yet: the plan has not reached this person."
    monkeypatch.setattr(planning, "BATCHES", (2,))
    monkeypatch.setattr(planning, "TURN_SECONDS", 0.0)
    jobs.plan()
    marketer.CancelCampaign(service_pb.CancelCampaignRequest(id=campaign.id))
    said = explained(marketer, campaign, 3).summary
    assert said == "Not sent: the campaign was cancelled before the plan reached this person."
    assert explained(marketer, campaign, 1).HasField("recipient")


def test_a_neighbour_that_is_away_costs_its_facts_only(marketer: CampaignsServiceStub, neighbours: Neighbours) -> None:
    campaign = planned(marketer)
    hear(a_change(campaign, 1, "SENT"))
    away = [grpc.StatusCode.UNAVAILABLE]
    neighbours.failures = {"ListConsents": list(away), "GetMessage": list(away), "ExplainCandidate": list(away)}
    answer = explained(marketer, campaign, 1)
    assert answer.summary.startswith("Sent:")
    assert texts(answer, "CONSENT")[0].startswith("Could not be asked")
    stranger = explained(marketer, campaign, 77)
    assert stranger.summary.endswith("contacts, which knows why, does not answer.")
