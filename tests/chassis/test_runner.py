from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text

from chassis import runner
from chassis.auth import KeyRing
from chassis.bus import Bus
from chassis.events import event_type
from chassis.ids import new_id_text
from chassis.outbox import record
from chassis.runner import asked
from chassis.service import Loop, Service
from denda.contacts.v1.events_pb2 import PersonDeleted
from denda.identity.v1.tokens_service_pb2 import GetKeysResponse
from services import PORTS
from tests.kit.doors import Doors, service_named
from tests.kit.events import eventually

ASKING = [(name, loop) for name in PORTS if name != "gateway" for loop in service_named(name).loops if loop.when]


@pytest.mark.parametrize(("name", "loop"), ASKING, ids=lambda value: getattr(value, "name", value))
def test_an_index_answers_what_a_loop_asks_first_and_nothing_is_to_be_done_at_the_start(
    serve: Callable[..., Doors], name: str, loop: Loop
) -> None:
    service = serve(name).migrated(name)
    assert not service.database.lookup(loop.when)
    with service.database.transaction() as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        plan = "\n".join(session.scalars(text(f"EXPLAIN {loop.when}")))
    assert "Seq Scan" not in plan


def test_what_is_written_just_before_a_stop_leaves_before_the_process_ends(
    serve: Callable[..., Doors], bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve("contacts").migrated("contacts")
    bus.declare("told.events", [event_type(PersonDeleted)])
    # After its first round the relay sleeps longer than the test lasts.
    monkeypatch.setattr(runner, "RELAY_IDLE", timedelta(hours=1))
    write(service)
    with runner.running([service], bus, KeyRing(GetKeysResponse), roles=("relay",)):
        eventually(lambda: waiting(service) == 0)
        write(service)
        assert waiting(service) == 1
    assert waiting(service) == 0


def write(service: Service) -> None:
    with service.database.transaction() as session:
        record(session, PersonDeleted(person_id=new_id_text()))


def waiting(service: Service) -> int:
    with service.database.transaction() as session:
        return session.scalar(text("SELECT count(*) FROM outbox")) or 0


def test_a_step_is_made_only_while_there_is_something_to_do(serve: Callable[..., Doors]) -> None:
    steps: list[str] = []
    service = serve("identity").migrated("identity")
    for when in ("SELECT 1 WHERE false", "SELECT 1"):
        loop = Loop("work", lambda: steps.append("made"), when=when)
        asked(service, loop)
    assert steps == ["made"]
