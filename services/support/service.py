"""Wiring of support: its doors, tables, events and jobs."""

from pathlib import Path

from chassis.service import Service
from denda.support.v1 import conversations_service_pb2, conversations_service_pb2_grpc
from services import PORTS
from services.support import jobs
from services.support.events import HANDLERS
from services.support.models import database
from services.support.rpc.conversations import ConversationsServicer

SERVICE = Service(
    name="support",
    port=PORTS["support"],
    database=database,
    migrations=Path(__file__).parent / "migrations",
    contracts=(conversations_service_pb2,),
    doors=((conversations_service_pb2_grpc.add_ConversationsServiceServicer_to_server, ConversationsServicer()),),
    handlers=HANDLERS,
    loops=jobs.LOOPS,
)
