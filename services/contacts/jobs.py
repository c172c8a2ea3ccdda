"""Periodic work of contacts."""

from datetime import timedelta

from chassis import requests
from chassis.service import Loop
from services.contacts.models import database


def forget_requests() -> None:
    """Forget request ids that are too old to come again."""
    with database.transaction() as session:
        requests.forget(session)


LOOPS = (Loop("forget-requests", forget_requests, idle=timedelta(hours=1)),)
