"""ConsentService: who allowed what, for which purpose and channel."""

from chassis.ids import parse_id
from chassis.server import Call
from denda.contacts.v1 import consent_service_pb2 as pb
from denda.contacts.v1 import consent_service_pb2_grpc as grpc_pb
from services.contacts import consents
from services.contacts.consents import Topic
from services.contacts.models import Channel, database
from services.contacts.translate import consent_to_proto, evidence_from_proto


class ConsentServicer(grpc_pb.ConsentServiceServicer):
    """The ledger's door."""

    def GrantConsent(self, request: pb.GrantConsentRequest, context: Call) -> pb.Consent:
        topic, evidence = Topic(request.purpose, Channel(request.channel)), evidence_from_proto(request.evidence)
        with database.transaction() as session:
            entry = consents.grant(session, parse_id(request.person_id), topic, request.basis, evidence)
            return consent_to_proto(entry)

    def WithdrawConsent(self, request: pb.WithdrawConsentRequest, context: Call) -> pb.Consent:
        topic, evidence = Topic(request.purpose, Channel(request.channel)), evidence_from_proto(request.evidence)
        with database.transaction() as session:
            return consent_to_proto(consents.withdraw(session, parse_id(request.person_id), topic, evidence))

    def ListConsents(self, request: pb.ListConsentsRequest, context: Call) -> pb.ListConsentsResponse:
        person_id = parse_id(request.person_id, "person_id")
        with database.transaction() as session:
            found, token = consents.page(session, person_id, in_force_only=request.in_force_only, request=request)
            return pb.ListConsentsResponse(consents=map(consent_to_proto, found), next_page_token=token)
