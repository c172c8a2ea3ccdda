"""The consent ledger through the door: entries are added, the newest is in force, and the others are told."""

from uuid import uuid4

import grpc
import pytest

from denda.contacts.v1 import consent_service_pb2 as pb
from denda.contacts.v1.consent_service_pb2_grpc import ConsentServiceStub
from denda.contacts.v1.events_pb2 import ConsentsChanged
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL, CHANNEL_SMS
from tests.contacts.conftest import Contacts, refused

GRANTED, WITHDRAWN = pb.Consent.STATE_GRANTED, pb.Consent.STATE_WITHDRAWN


def ledger(contacts: Contacts, person_id: str, *, in_force_only: bool = False) -> list[pb.Consent]:
    request = pb.ListConsentsRequest(person_id=person_id, in_force_only=in_force_only)
    return list(contacts.consents.ListConsents(request).consents)


def test_the_ledger_keeps_every_entry_and_the_newest_is_in_force(contacts: Contacts) -> None:
    person_id = contacts.a_person().id
    first = contacts.grant(person_id)
    withdrawn = contacts.withdraw(person_id)
    again = contacts.grant(person_id)
    sms = contacts.grant(person_id, channel=CHANNEL_SMS)
    assert (first.state, first.basis, withdrawn.state) == (GRANTED, "consent", WITHDRAWN)
    assert ledger(contacts, person_id) == [sms, again, withdrawn, first]
    assert ledger(contacts, person_id, in_force_only=True) == [sms, again]


def test_granting_again_adds_an_entry_and_withdrawing_again_does_not(contacts: Contacts) -> None:
    person_id = contacts.a_person().id
    assert contacts.grant(person_id).id != contacts.grant(person_id).id
    assert contacts.withdraw(person_id) == contacts.withdraw(person_id)
    assert len(ledger(contacts, person_id)) == 3


def test_what_was_never_granted_can_be_withdrawn(contacts: Contacts) -> None:
    person_id = contacts.a_person().id
    assert contacts.withdraw(person_id).state == WITHDRAWN


def test_the_others_hear_of_withdrawals_and_of_who_comes_back(contacts: Contacts) -> None:
    person_id, message_id = contacts.a_person().id, str(uuid4())
    contacts.grant(person_id)
    evidence = pb.Evidence(source="one-click", detail="/u", message_id=message_id)
    request = pb.WithdrawConsentRequest(
        person_id=person_id, purpose="marketing", channel=CHANNEL_EMAIL, evidence=evidence
    )
    withdrawn = contacts.consents.WithdrawConsent(request)
    contacts.consents.WithdrawConsent(request)
    back = contacts.grant(person_id)
    changes = [change for event in contacts.doors.events("contacts") for change in event.changes]
    assert {type(event) for event in contacts.doors.events("contacts")} == {ConsentsChanged}
    assert [(change.consent_id, change.withdrawn) for change in changes] == [(withdrawn.id, True), (back.id, False)]
    assert (changes[0].source, changes[0].message_id, changes[0].person_id) == ("one-click", message_id, person_id)
    assert changes[0].time == withdrawn.create_time


def test_evidence_is_kept(contacts: Contacts) -> None:
    evidence = pb.Evidence(source="form", detail="I want the newsletter", message_id="")
    made = contacts.consents.GrantConsent(
        pb.GrantConsentRequest(
            person_id=contacts.a_person().id,
            purpose="newsletter",
            channel=CHANNEL_EMAIL,
            basis="contract",
            evidence=evidence,
        )
    )
    assert (made.evidence, made.basis) == (evidence, "contract")
    assert contacts.grant(made.person_id).evidence.source == "api"


def test_an_unknown_person_has_no_ledger(contacts: Contacts) -> None:
    nobody = str(uuid4())
    for call in (contacts.grant, contacts.withdraw, lambda person_id: ledger(contacts, person_id)):
        with refused() as refusal:
            call(nobody)
        assert refusal.code is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("purpose", ["", "Marketing", "two words", "x" * 80])
def test_a_purpose_is_a_plain_word(contacts: Contacts, purpose: str) -> None:
    person_id = contacts.a_person().id
    with refused() as refusal:
        contacts.grant(person_id, purpose)
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("purpose",))


def test_a_viewer_cannot_withdraw(contacts: Contacts) -> None:
    viewer = contacts.doors.stub(ConsentServiceStub, "contacts", "viewer")
    request = pb.WithdrawConsentRequest(person_id=contacts.a_person().id, purpose="news", channel=CHANNEL_EMAIL)
    with refused() as refusal:
        viewer.WithdrawConsent(request)
    assert refusal.code is grpc.StatusCode.PERMISSION_DENIED
