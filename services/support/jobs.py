"""The door to the clock: answers leave, requesters are found, what nobody needs any more is forgotten."""

from datetime import timedelta

from chassis import requests
from chassis.service import Loop
from services.support import answers, requesters
from services.support.models import database

SOON = timedelta(milliseconds=250)


def forget_requests() -> None:
    """Forget request ids that are too old to come again."""
    with database.transaction() as session:
        requests.forget(session)


LOOPS = (
    Loop("send-answers", answers.send_waiting, SOON),
    Loop("look-up-answers", answers.look_up_accepted, timedelta(seconds=5)),
    Loop("find-requesters", requesters.complete, timedelta(seconds=1)),
    Loop("forget-requests", forget_requests, timedelta(hours=1)),
)
