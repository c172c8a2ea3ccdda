"""Wiring of identity: its doors, tables and jobs."""

from pathlib import Path

from chassis.service import Service
from denda.identity.v1 import tokens_service_pb2, tokens_service_pb2_grpc, users_service_pb2, users_service_pb2_grpc
from services import PORTS
from services.identity import jobs
from services.identity.models import database
from services.identity.rpc.tokens import TokensServicer
from services.identity.rpc.users import UsersServicer

SERVICE = Service(
    name="identity",
    port=PORTS["identity"],
    database=database,
    migrations=Path(__file__).parent / "migrations",
    contracts=(users_service_pb2, tokens_service_pb2),
    doors=(
        (users_service_pb2_grpc.add_UsersServiceServicer_to_server, UsersServicer()),
        (tokens_service_pb2_grpc.add_TokensServiceServicer_to_server, TokensServicer()),
    ),
    loops=jobs.LOOPS,
)
