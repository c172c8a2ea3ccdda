"""Periodic work: rotating the signing key and forgetting what is over. Safe in any number of replicas."""

from datetime import timedelta

from chassis.service import Loop
from services.identity import revocations, sessions, signing_keys, throttle
from services.identity.models import database
from services.identity.settings import identity_settings


def rotate() -> None:
    """Let a new key sign once the active one is old enough."""
    with database.transaction() as session:
        signing_keys.rotate_keys_older_than(session, timedelta(days=identity_settings().signing_key_days))


def prune() -> None:
    """Delete what is over: sessions, revocations, retired keys, old failures."""
    with database.transaction() as session:
        sessions.prune_sessions(session)
        revocations.prune_revocations(session)
        signing_keys.prune_keys(session)
        throttle.prune_failures(session)


LOOPS = (
    Loop("identity-rotate", rotate, idle=timedelta(hours=1)),
    Loop("identity-prune", prune, idle=timedelta(hours=1)),
)
