"""What changed of late: a row for each change, kept for a day and read so that none is ever missed.

A row names the transaction that wrote it. The horizon is the oldest transaction that is still under way: what was
written before it can be seen by everybody, so whoever has read up to a horizon reads on from there. Rows beyond it are
told at once as well and may be told again later; were they to wait, one long transaction would hold everybody up.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.errors import InvalidArgument
from chassis.signing import sign, verify
from services.support.models import TicketChange, database

KEPT = timedelta(days=1)
# A cursor that is nearly too old may still be read from.
MARGIN = timedelta(hours=1)
_PURPOSE = "ticket-changes"
_SINCE = """
    SELECT horizon, seq, ticket_id
    FROM (SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint) AS horizon) AS here
    LEFT JOIN ticket_change ON transaction >= CAST($1 AS bigint)
"""
_NOTHING = 2**63 - 1


def horizon() -> int:
    """The horizon now."""
    return since(_NOTHING)[0]


def since(position: int) -> tuple[int, Mapping[int, UUID]]:
    """The horizon now, and the tickets that changed since an earlier one, by the numbers of their changes."""
    rows = database.lookup(_SINCE, str(position))
    return rows[0][0], {seq: ticket_id for _, seq, ticket_id in rows if seq is not None}


def cursor_of(position: int) -> str:
    """A horizon for somebody outside to keep."""
    return sign(_PURPOSE, json.dumps([position, now().isoformat()]).encode())


def position_of(cursor: str) -> int:
    """The horizon that a cursor stands for. Raises InvalidArgument when what came after it may be forgotten already."""
    position, time = json.loads(verify(_PURPOSE, cursor, "cursor"))
    if datetime.fromisoformat(time) < now() - KEPT or position > horizon():
        raise InvalidArgument("cursor", "is too old; begin without one, and with include_current")
    return int(position)


def forget(session: Session) -> None:
    """Forget changes that no cursor can ask for any more."""
    session.execute(delete(TicketChange).where(TicketChange.create_time < now() - KEPT - MARGIN))
