"""Wiring of support: its doors, tables, events and jobs."""

from pathlib import Path

from chassis.service import Service
from services import PORTS
from services.support.models import database

SERVICE = Service(
    name="support",
    port=PORTS["support"],
    database=database,
    migrations=Path(__file__).parent / "migrations",
    contracts=(),
    doors=(),
)
