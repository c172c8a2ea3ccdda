"""Who else looks at a ticket."""

from collections.abc import Callable
from typing import Any

import pytest

from denda.support.v1 import tickets_service_pb2 as pb
from services.support import jobs
from services.support.models import Presence, database
from tests.support.conftest import AGENT, OTHER_AGENT, Support, refused

VIEWING, ANSWERING, LEFT = pb.ACTIVITY_VIEWING, pb.ACTIVITY_ANSWERING, pb.ACTIVITY_LEFT


@pytest.fixture
def ane(speaking: Callable[..., Support]) -> Support:
    return speaking("agent")


@pytest.fixture
def jon(speaking: Callable[..., Support]) -> Support:
    return speaking("agent", user=OTHER_AGENT)


def present(who: Support, ticket_id: str, activity: pb.Activity.ValueType) -> list[tuple[str, int]]:
    answer = who.tickets.SetPresence(pb.SetPresenceRequest(ticket_id=ticket_id, activity=activity))
    return [(other.user_id, other.activity) for other in answer.others]


def test_agents_see_each_other_and_not_themselves(ane: Support, jon: Support) -> None:
    ticket = ane.a_ticket()
    assert present(ane, ticket.id, VIEWING) == []
    assert present(jon, ticket.id, ANSWERING) == [(AGENT, VIEWING)]
    assert present(ane, ticket.id, VIEWING) == [(OTHER_AGENT, ANSWERING)]
    assert present(ane, ane.a_ticket().id, VIEWING) == []


def test_who_leaves_is_gone_at_once(ane: Support, jon: Support) -> None:
    ticket = ane.a_ticket()
    present(ane, ticket.id, VIEWING)
    present(ane, ticket.id, LEFT)
    assert present(jon, ticket.id, VIEWING) == []


def test_who_is_silent_for_a_minute_counts_as_gone_and_comes_back_anew(
    ane: Support, jon: Support, frozen_clock: Any
) -> None:
    ticket = ane.a_ticket()
    present(ane, ticket.id, VIEWING)
    frozen_clock.advance(seconds=40)
    present(ane, ticket.id, VIEWING)
    frozen_clock.advance(seconds=40)
    request = pb.SetPresenceRequest(ticket_id=ticket.id, activity=VIEWING)
    (still,) = jon.tickets.SetPresence(request).others
    assert still.since.ToSeconds() == int(frozen_clock.moment.timestamp()) - 80
    frozen_clock.advance(seconds=61)
    assert present(jon, ticket.id, VIEWING) == []
    present(ane, ticket.id, VIEWING)
    (again,) = jon.tickets.SetPresence(request).others
    assert again.since.ToSeconds() == int(frozen_clock.moment.timestamp())


def test_a_ticket_that_is_not_there_cannot_be_looked_at(ane: Support) -> None:
    with refused() as refusal:
        present(ane, AGENT, VIEWING)
    assert "There is no ticket" in refusal.message


def test_those_who_left_long_ago_are_forgotten(ane: Support, frozen_clock: Any) -> None:
    ticket = ane.a_ticket()
    present(ane, ticket.id, VIEWING)
    frozen_clock.advance(seconds=30)
    jobs.forget()
    with database.transaction() as session:
        assert session.query(Presence).count() == 1
    frozen_clock.advance(minutes=5)
    jobs.forget()
    with database.transaction() as session:
        assert session.query(Presence).count() == 0
