"""Wiring of support: its doors, tables, events and jobs."""

from pathlib import Path

from chassis.service import Service
from denda.support.v1 import (
    conversations_service_pb2,
    conversations_service_pb2_grpc,
    inbound_service_pb2,
    inbound_service_pb2_grpc,
    queues_service_pb2,
    queues_service_pb2_grpc,
    relations_service_pb2,
    relations_service_pb2_grpc,
    tickets_service_pb2,
    tickets_service_pb2_grpc,
    views_service_pb2,
    views_service_pb2_grpc,
)
from services import PORTS
from services.support import jobs
from services.support.events import HANDLERS
from services.support.models import database
from services.support.rpc.conversations import ConversationsServicer
from services.support.rpc.inbound import InboundServicer
from services.support.rpc.queues import QueuesServicer
from services.support.rpc.relations import RelationsServicer
from services.support.rpc.tickets import TicketsServicer
from services.support.rpc.views import ViewsServicer

SERVICE = Service(
    name="support",
    port=PORTS["support"],
    database=database,
    migrations=Path(__file__).parent / "migrations",
    contracts=(
        tickets_service_pb2,
        conversations_service_pb2,
        inbound_service_pb2,
        queues_service_pb2,
        relations_service_pb2,
        views_service_pb2,
    ),
    doors=(
        (tickets_service_pb2_grpc.add_TicketsServiceServicer_to_server, TicketsServicer()),
        (conversations_service_pb2_grpc.add_ConversationsServiceServicer_to_server, ConversationsServicer()),
        (inbound_service_pb2_grpc.add_InboundServiceServicer_to_server, InboundServicer()),
        (relations_service_pb2_grpc.add_RelationsServiceServicer_to_server, RelationsServicer()),
        (queues_service_pb2_grpc.add_QueuesServiceServicer_to_server, QueuesServicer()),
        (views_service_pb2_grpc.add_ViewsServiceServicer_to_server, ViewsServicer()),
    ),
    handlers=HANDLERS,
    loops=jobs.LOOPS,
)
