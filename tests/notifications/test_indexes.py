from typing import Any

import pytest
from sqlalchemy import select, text

from chassis.clock import now
from services.notifications.ledger import claims
from services.notifications.ledger.record import RECORD
from services.notifications.models import Message, Outgoing, database
from tests.kit.doors import Doors
from tests.notifications.things import a_plan, a_template, accepted


@pytest.fixture
def many(doors: Doors) -> dict[str, Any]:
    """A hundred thousand messages of many campaigns on their way; answers what statements about one group ask for."""
    accepted(a_plan(a_template(doors), people=1))
    fill = """
        WITH one AS (SELECT * FROM message LIMIT 1), made AS (
            INSERT INTO message (id, mailing_id, channel, state, address, language, time_zone, merge_fields,
                schedule_time, expire_time, create_time, state_time)
            SELECT gen_random_uuid(), CASE WHEN n % 2 = 0 THEN one.mailing_id ELSE gen_random_uuid() END, 1, 1,
                'person' || n || '@customer.example', 'en', '', '{}', one.schedule_time + n * interval '1 second',
                one.expire_time, one.create_time, one.state_time FROM one, generate_series(1, 100000) n
            RETURNING *
        )
        INSERT INTO outgoing (message_id, mailing_id, channel, transactional, due_time, expire_time, claim)
        SELECT id, mailing_id, 1, random() < 0.1, schedule_time, expire_time,
               CASE WHEN random() < 0.001 THEN gen_random_uuid() END FROM made"""
    with database.transaction() as session:
        session.execute(text(fill))
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    with database.transaction() as session:
        mailing = session.scalars(select(Message.mailing_id).order_by(Message.create_time)).first()
        ids = session.scalars(select(Outgoing.message_id).limit(50)).all()
    numbers, words = "{" + ",".join("3" * 50) + "}", "{" + ",".join("x" * 50) + "}"
    named = dict.fromkeys(("states", "skips"), numbers) | dict.fromkeys(("details", "references", "summaries"), words)
    listed = {"ids": "{" + ",".join(map(str, ids)) + "}", "outcomes": "{" + ",".join(["NULL"] * 50) + "}"}
    moment = {"now": "2026-12-01T00:00Z", "lease_until": "2026-12-01T00:00Z"}
    return (
        {
            "channel": 1,
            "most": 50,
            "provider": "smtp",
            "claim": ids[0],
            "mailing_id": mailing,
        }
        | named
        | listed
        | moment
    )


INDEXED = {
    claims.DROPPED: "outgoing_bulk_idx",
    claims.BULK: "outgoing_bulk_idx",
    claims.TRANSACTIONAL: "outgoing_transactional_idx",
    RECORD: "message_pkey",
}


def test_statements_use_their_indexes_at_a_hundred_thousand_rows(many: dict[str, Any]) -> None:
    for statement, index in INDEXED.items():
        with database.transaction() as session:
            explained = session.execute(text(f"EXPLAIN {statement.text}"), many).scalars().all()
        require_index("\n".join(explained), index)
    explained = [row[0] for row in database.lookup(f"EXPLAIN {claims.RUNNABLE}", "1", now().isoformat())]
    require_index("\n".join(explained), "outgoing_bulk_idx")


def require_index(plan: str, index: str) -> None:
    assert index in plan
    assert "Seq Scan on outgoing" not in plan
    assert "Seq Scan on message" not in plan
