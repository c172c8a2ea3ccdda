"""CompaniesService: companies and who belongs to them."""

from chassis.ids import parse_id
from chassis.server import Call
from denda.contacts.v1 import companies_service_pb2 as pb
from denda.contacts.v1 import companies_service_pb2_grpc as grpc_pb
from services.contacts import companies
from services.contacts.models import database
from services.contacts.translate import COMPANY_FIELDS, company_to_proto, fields_of, membership_to_proto


class CompaniesServicer(grpc_pb.CompaniesServiceServicer):
    """Companies and memberships."""

    def CreateCompany(self, request: pb.CreateCompanyRequest, context: Call) -> pb.Company:
        with database.transaction() as session:
            fields = fields_of(request.company, COMPANY_FIELDS)
            return company_to_proto(companies.create(session, fields, request.request_id))

    def GetCompany(self, request: pb.GetCompanyRequest, context: Call) -> pb.Company:
        with database.transaction() as session:
            return company_to_proto(companies.get(session, parse_id(request.id)))

    def ListCompanies(self, request: pb.ListCompaniesRequest, context: Call) -> pb.ListCompaniesResponse:
        with database.transaction() as session:
            found, token = companies.page(session, request)
            return pb.ListCompaniesResponse(companies=map(company_to_proto, found), next_page_token=token)

    def UpdateCompany(self, request: pb.UpdateCompanyRequest, context: Call) -> pb.Company:
        company_id = parse_id(request.company.id, "company.id")
        fields = fields_of(request.company, COMPANY_FIELDS, request.update_mask)
        with database.transaction() as session:
            return company_to_proto(companies.update(session, company_id, fields, request.company.etag))

    def SetMembership(self, request: pb.SetMembershipRequest, context: Call) -> pb.Membership:
        wanted = request.membership
        with database.transaction() as session:
            company_id, person_id = parse_id(wanted.company_id), parse_id(wanted.person_id)
            return membership_to_proto(companies.set_member(session, company_id, person_id, wanted.role))

    def RemoveMembership(self, request: pb.RemoveMembershipRequest, context: Call) -> pb.RemoveMembershipResponse:
        with database.transaction() as session:
            companies.remove_member(session, parse_id(request.company_id), parse_id(request.person_id))
            return pb.RemoveMembershipResponse()

    def ListMemberships(self, request: pb.ListMembershipsRequest, context: Call) -> pb.ListMembershipsResponse:
        company_id = parse_id(request.company_id, "company_id") if request.company_id else None
        person_id = parse_id(request.person_id, "person_id") if request.person_id else None
        with database.transaction() as session:
            found, token = companies.members(session, company_id, person_id, request)
            return pb.ListMembershipsResponse(memberships=map(membership_to_proto, found), next_page_token=token)
