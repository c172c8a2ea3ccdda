"""Denda's services: where each one listens and how the others find it. No service imports another."""

import grpc

from chassis import client
from chassis.settings import settings

PORTS = {
    "identity": 7100,
    "contacts": 7101,
    "campaigns": 7102,
    "support": 7103,
    "notifications": 7104,
    "gateway": 7180,
}


def port(service: str) -> int:
    """The port a service listens on in this installation."""
    return PORTS[service] + settings().port_offset


def address(service: str) -> str:
    """Where a service is reached by the others, as gRPC writes it."""
    return settings().address_template.format(service=service, port=port(service))


def channel(service: str) -> grpc.Channel:
    """The channel to a service, speaking as a service."""
    return client.channel(address(service), address("identity"))


def public_url() -> str:
    """The gateway as customers reach it, without a slash at the end."""
    return settings().public_url.rstrip("/") or f"http://127.0.0.1:{port('gateway')}"
