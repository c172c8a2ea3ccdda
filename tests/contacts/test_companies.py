"""Companies and memberships through the door."""

from typing import Any
from uuid import uuid4

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from denda.contacts.v1 import companies_service_pb2 as pb
from tests.contacts.conftest import Contacts, refused


def a_company(contacts: Contacts, name: str = "Denda", **fields: Any) -> pb.Company:
    return contacts.companies.CreateCompany(pb.CreateCompanyRequest(company=pb.Company(name=name, **fields)))


def join(contacts: Contacts, company_id: str, person_id: str, role: str = "") -> pb.Membership:
    membership = pb.Membership(company_id=company_id, person_id=person_id, role=role)
    return contacts.companies.SetMembership(pb.SetMembershipRequest(membership=membership))


def members(contacts: Contacts, **of: Any) -> list[pb.Membership]:
    return list(contacts.companies.ListMemberships(pb.ListMembershipsRequest(**of)).memberships)


def test_a_company_is_kept_changed_and_listed(contacts: Contacts) -> None:
    request = pb.CreateCompanyRequest(company=pb.Company(name=" Denda ", domain="Denda.EXAMPLE", tags=["b", "b2"]))
    request.request_id = str(uuid4())
    made = contacts.companies.CreateCompany(request)
    assert contacts.companies.CreateCompany(request) == made
    assert (made.name, made.domain, list(made.tags)) == ("Denda", "denda.example", ["b", "b2"])
    changed = contacts.companies.UpdateCompany(
        pb.UpdateCompanyRequest(
            company=pb.Company(id=made.id, domain="", name="Denda Handia", etag=made.etag),
            update_mask=FieldMask(paths=["domain", "name"]),
        )
    )
    assert (changed.domain, changed.name, list(changed.tags)) == ("", "Denda Handia", ["b", "b2"])
    assert contacts.companies.GetCompany(pb.GetCompanyRequest(id=made.id)) == changed
    with refused() as refusal:
        contacts.companies.UpdateCompany(pb.UpdateCompanyRequest(company=made))
    assert refusal.code is grpc.StatusCode.ABORTED
    other = a_company(contacts, "Beste")
    first = contacts.companies.ListCompanies(pb.ListCompaniesRequest(page_size=1))
    rest = contacts.companies.ListCompanies(pb.ListCompaniesRequest(page_token=first.next_page_token))
    assert [*first.companies, *rest.companies] == [changed, other]


def test_domains_and_external_ids_are_unique_where_they_are_set(contacts: Contacts) -> None:
    a_company(contacts, domain="a.example", external_id="1")
    a_company(contacts)
    a_company(contacts)
    for fields in ({"domain": "A.example"}, {"external_id": "1"}):
        with refused() as refusal:
            a_company(contacts, **fields)
        assert refusal.code is grpc.StatusCode.ALREADY_EXISTS


def test_every_wrong_field_of_a_company_is_named(contacts: Contacts) -> None:
    with refused() as refusal:
        a_company(contacts, "A\0", domain="not a domain")
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert {"company.name", "company.domain"} <= set(refusal.fields)


def test_a_membership_begins_changes_and_ends(contacts: Contacts) -> None:
    company_id, person_id = a_company(contacts).id, contacts.a_person().id
    first = join(contacts, company_id, person_id, "buyer")
    again = join(contacts, company_id, person_id, "owner")
    assert (again.role, again.create_time) == ("owner", first.create_time)
    assert members(contacts, company_id=company_id) == members(contacts, person_id=person_id) == [again]
    request = pb.RemoveMembershipRequest(company_id=company_id, person_id=person_id)
    for _ in range(2):
        contacts.companies.RemoveMembership(request)
    assert members(contacts, company_id=company_id) == []


def test_memberships_need_both_sides_and_one_question(contacts: Contacts) -> None:
    company_id, person_id = a_company(contacts).id, contacts.a_person().id
    for ids in ((company_id, str(uuid4())), (str(uuid4()), person_id)):
        with refused() as refusal:
            join(contacts, *ids)
        assert refusal.code is grpc.StatusCode.NOT_FOUND
    for of in ({}, {"company_id": company_id, "person_id": person_id}):
        with refused() as refusal:
            members(contacts, **of)
        assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
