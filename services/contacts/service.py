"""Wiring of contacts: its doors, tables, events and jobs."""

from pathlib import Path

from chassis.service import Service
from denda.contacts.v1 import (
    audience_service_pb2,
    audience_service_pb2_grpc,
    companies_service_pb2,
    companies_service_pb2_grpc,
    consent_service_pb2,
    consent_service_pb2_grpc,
    imports_service_pb2,
    imports_service_pb2_grpc,
    people_service_pb2,
    people_service_pb2_grpc,
    segments_service_pb2,
    segments_service_pb2_grpc,
    timeline_service_pb2,
    timeline_service_pb2_grpc,
)
from services import PORTS
from services.contacts import jobs
from services.contacts.events import HANDLERS
from services.contacts.models import database
from services.contacts.rpc.audience import AudienceServicer
from services.contacts.rpc.companies import CompaniesServicer
from services.contacts.rpc.consents import ConsentServicer
from services.contacts.rpc.imports import ImportsServicer
from services.contacts.rpc.people import PeopleServicer
from services.contacts.rpc.segments import SegmentsServicer
from services.contacts.rpc.timeline import TimelineServicer

SERVICE = Service(
    name="contacts",
    port=PORTS["contacts"],
    database=database,
    migrations=Path(__file__).parent / "migrations",
    contracts=(
        people_service_pb2,
        companies_service_pb2,
        consent_service_pb2,
        segments_service_pb2,
        timeline_service_pb2,
        audience_service_pb2,
        imports_service_pb2,
    ),
    doors=(
        (people_service_pb2_grpc.add_PeopleServiceServicer_to_server, PeopleServicer()),
        (companies_service_pb2_grpc.add_CompaniesServiceServicer_to_server, CompaniesServicer()),
        (consent_service_pb2_grpc.add_ConsentServiceServicer_to_server, ConsentServicer()),
        (segments_service_pb2_grpc.add_SegmentsServiceServicer_to_server, SegmentsServicer()),
        (timeline_service_pb2_grpc.add_TimelineServiceServicer_to_server, TimelineServicer()),
        (audience_service_pb2_grpc.add_AudienceServiceServicer_to_server, AudienceServicer()),
        (imports_service_pb2_grpc.add_ImportsServiceServicer_to_server, ImportsServicer()),
    ),
    handlers=HANDLERS,
    loops=jobs.LOOPS,
)
