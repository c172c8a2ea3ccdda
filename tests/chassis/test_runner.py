from collections.abc import Callable

import pytest
from sqlalchemy import text

from chassis.runner import asked
from chassis.service import Loop
from services import PORTS
from tests.kit.doors import Doors, service_named

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


def test_a_step_is_made_only_while_there_is_something_to_do(serve: Callable[..., Doors]) -> None:
    steps: list[str] = []
    service = serve("identity").migrated("identity")
    for when in ("SELECT 1 WHERE false", "SELECT 1"):
        loop = Loop("work", lambda: steps.append("made"), when=when)
        asked(service, loop)
    assert steps == ["made"]
