"""Wiring of campaigns: its doors, tables and jobs."""

from pathlib import Path

from chassis.service import Service
from denda.campaigns.v1 import (
    campaigns_service_pb2,
    campaigns_service_pb2_grpc,
    tracking_service_pb2,
    tracking_service_pb2_grpc,
)
from services import PORTS
from services.campaigns import jobs
from services.campaigns.events import HANDLERS
from services.campaigns.models import database
from services.campaigns.rpc.campaigns import CampaignsServicer
from services.campaigns.rpc.tracking import TrackingServicer

SERVICE = Service(
    name="campaigns",
    port=PORTS["campaigns"],
    database=database,
    migrations=Path(__file__).parent / "migrations",
    contracts=(campaigns_service_pb2, tracking_service_pb2),
    doors=(
        (campaigns_service_pb2_grpc.add_CampaignsServiceServicer_to_server, CampaignsServicer()),
        (tracking_service_pb2_grpc.add_TrackingServiceServicer_to_server, TrackingServicer()),
    ),
    handlers=HANDLERS,
    loops=jobs.LOOPS,
)
