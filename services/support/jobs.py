"""The door to the clock: answers leave, requesters are found, what nobody needs any more is forgotten."""

from datetime import timedelta

from chassis import requests
from chassis.service import Loop
from services.support import answers, imap, presence, reading, recent, requesters
from services.support.models import database

SOON = timedelta(milliseconds=250)


def forget() -> None:
    """Forget request ids that are too old to come again, who has gone from a ticket, and changes of yesterday."""
    with database.transaction() as session:
        requests.forget(session)
        presence.forget(session)
        recent.forget(session)


LOOPS = (
    Loop("fetch-mail", imap.fetch, timedelta(seconds=10)),
    Loop("read-mail", reading.read_waiting, SOON),
    Loop("send-answers", answers.send_waiting, SOON),
    Loop("look-up-answers", answers.look_up_accepted, timedelta(seconds=5)),
    Loop("find-requesters", requesters.complete, timedelta(seconds=1)),
    Loop("forget", forget, timedelta(hours=1)),
)
