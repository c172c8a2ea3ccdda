"""The door to the clock: senders, recovery and housekeeping. Each is safe to run in several replicas."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from chassis.service import Loop
from services.notifications import customers, receipts
from services.notifications.ledger import recovery, sending
from services.notifications.ledger.claims import RENEWAL
from services.notifications.models import database
from services.notifications.settings import settings
from services.notifications.states import Channel

SOON = timedelta(milliseconds=250)
# Campaigns may wait a moment; what nobody waits for must not keep the database awake.
BY_AND_BY = timedelta(milliseconds=500)


# What the loops ask before they open a transaction.
QUEUED = "SELECT 1 FROM outgoing WHERE claim IS NULL AND NOT transactional LIMIT 1"
PLAYING = "SELECT 1 FROM sandbox_message WHERE act_time <= now() LIMIT 1"


def transactional_waits(channel: Channel) -> str:
    """Asks whether a transactional message is due."""
    return f"""SELECT 1 FROM outgoing
        WHERE channel = {channel:d} AND claim IS NULL AND transactional AND due_time <= now() LIMIT 1"""  # noqa: S608  a number


def loops() -> Sequence[Loop]:
    """All that runs by itself. Transactional messages have threads of their own, so nothing is ahead of them."""
    bulk = {Channel.EMAIL: settings().smtp_connections, Channel.SMS: 1, Channel.VOICE: 1}
    senders = [
        Loop(
            f"send-campaigns-{channel.name.lower()}",
            partial(sending.send_bulk, channel),
            BY_AND_BY,
            bulk[channel],
        )
        for channel in Channel
    ]
    urgent = [
        Loop(
            f"send-transactional-{channel.name.lower()}",
            partial(sending.send_transactional, channel),
            SOON,
            when=transactional_waits(channel),
        )
        for channel in Channel
    ]
    keeping = [
        Loop("renew-leases", sending.renew_leases, RENEWAL),
        Loop("end-leases", recovery.end_leases, timedelta(seconds=5)),
        Loop("reconcile-unknown", recovery.reconcile, timedelta(seconds=5)),
        Loop("expire-messages", recovery.expire, timedelta(seconds=15)),
        Loop("drop-cancelled", recovery.drop_cancelled, timedelta(seconds=1), when=QUEUED),
        Loop("apply-receipts", _apply_receipts, timedelta(seconds=5)),
        Loop("prune-receipts", _prune_receipts, timedelta(hours=1)),
        Loop("sandbox-customers", customers.act, timedelta(milliseconds=500), when=PLAYING),
    ]
    return [*senders, *urgent, *keeping]


def _apply_receipts() -> bool:
    with database.transaction() as session:
        return receipts.apply_waiting(session)


def _prune_receipts() -> None:
    with database.transaction() as session:
        receipts.prune(session)
