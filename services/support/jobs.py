"""The door to the clock: answers leave, requesters are found, what nobody needs any more is forgotten."""

from datetime import timedelta

from chassis import requests
from chassis.service import Loop
from services.support import answers, imap, presence, reading, recent, requesters
from services.support.models import database
from services.support.states import DeliveryState

SOON = timedelta(milliseconds=250)


def forget() -> None:
    """Forget request ids that are too old to come again, who has gone from a ticket, and changes of yesterday."""
    with database.transaction() as session:
        requests.forget(session)
        presence.forget(session)
        recent.forget(session)


# What the loops ask before they open a transaction.
UNREAD = "SELECT 1 FROM inbound_mail WHERE state = 1 LIMIT 1"
UNSENT = f"SELECT 1 FROM ticket_message WHERE delivery_state = {DeliveryState.WAITING:d} LIMIT 1"  # noqa: S608  a number
STRANGERS = """SELECT 1 FROM ticket WHERE requester_id IS NULL AND requester_address <> ''
    UNION ALL SELECT 1 FROM ticket_participant WHERE person_id IS NULL AND NOT looked_up LIMIT 1"""

LOOPS = (
    Loop("fetch-mail", imap.fetch, timedelta(seconds=10)),
    Loop("read-mail", reading.read_waiting, SOON, when=UNREAD),
    Loop("send-answers", answers.send_waiting, SOON, when=UNSENT),
    Loop("look-up-answers", answers.look_up_accepted, timedelta(seconds=5)),
    Loop("find-requesters", requesters.complete, timedelta(seconds=1), when=STRANGERS),
    Loop("forget", forget, timedelta(hours=1)),
)
