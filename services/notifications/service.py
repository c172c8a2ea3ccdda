"""Wiring of notifications: its doors, tables, senders and jobs."""

from pathlib import Path

from chassis.service import Service
from denda.notifications.v1 import (
    messages_service_pb2,
    messages_service_pb2_grpc,
    suppressions_service_pb2,
    suppressions_service_pb2_grpc,
    templates_service_pb2,
    templates_service_pb2_grpc,
)
from services import PORTS
from services.notifications import events, jobs
from services.notifications.models import database
from services.notifications.rpc.messages import MessagesServicer
from services.notifications.rpc.suppressions import SuppressionsServicer
from services.notifications.rpc.templates import TemplatesServicer

SERVICE = Service(
    name="notifications",
    port=PORTS["notifications"],
    database=database,
    migrations=Path(__file__).parent / "migrations",
    contracts=(messages_service_pb2, templates_service_pb2, suppressions_service_pb2),
    doors=(
        (messages_service_pb2_grpc.add_MessagesServiceServicer_to_server, MessagesServicer()),
        (templates_service_pb2_grpc.add_TemplatesServiceServicer_to_server, TemplatesServicer()),
        (suppressions_service_pb2_grpc.add_SuppressionsServiceServicer_to_server, SuppressionsServicer()),
    ),
    handlers=events.HANDLERS,
    loops=jobs.loops(),
)
