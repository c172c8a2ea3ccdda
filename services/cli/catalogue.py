"""The services by name. Only those that are asked for are imported, so that a process holds no more than it serves."""

import importlib
from collections.abc import Sequence

from chassis.runner import Edge
from chassis.service import Service
from services import PORTS

# The gateway owns no database and speaks HTTP; all others are gRPC services.
GATEWAY = "gateway"
GRPC_SERVICES = tuple(name for name in PORTS if name != GATEWAY)


def services_named(names: Sequence[str]) -> list[Service]:
    """The gRPC services among `names`."""
    modules = [importlib.import_module(f"services.{name}.service") for name in names if name != GATEWAY]
    return [module.SERVICE for module in modules]


def edges_named(names: Sequence[str]) -> list[Edge]:
    """The gateway, where it is among `names`."""
    return [importlib.import_module("services.gateway.service").EDGE] if GATEWAY in names else []
