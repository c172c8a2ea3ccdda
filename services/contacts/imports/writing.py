"""A batch of staged rows to people, addresses and consent: set-based, a handful of statements a round.

Everything of a batch is written in one transaction with its place in the file. In a dry run the same statements
run and are taken back, so that the report says what would have happened.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any
from uuid import UUID

from psycopg import Connection, sql
from sqlalchemy import insert
from sqlalchemy.orm import Session

from chassis.clock import now
from services.contacts.imports import statements
from services.contacts.imports.batches import Batch
from services.contacts.imports.plan import Plan, PlannedConsent
from services.contacts.imports.rows import FaultError, Staged
from services.contacts.models import ConsentState, RowError


@dataclass
class Counts:
    """What became of the rows of a batch."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    failed: int = 0
    withdrawn_kept: int = 0


@dataclass
class _Round:
    """What was found out about the rows of a round."""

    known: dict[int, UUID] = field(default_factory=dict)
    postponed: set[int] = field(default_factory=set)
    faults: list[FaultError] = field(default_factory=list)


def write(session: Session, plan: Plan, batch: Batch) -> Counts:
    """Write a batch, or in a dry run find out what would become of it; record the rows that are not taken."""
    session.execute(statements.PLAN_BY_INDEX)
    session.execute(statements.STAGING_TABLE)
    counts, faults = Counts(), list(batch.faults)
    if plan.dry_run:
        trial = session.begin_nested()
        created = _write_rounds(session, plan, batch, counts, faults)
        trial.rollback()
        _count_created_once(session, plan, created, counts)
    else:
        _write_rounds(session, plan, batch, counts, faults)
    counts.failed = len(faults)
    _report(session, plan.import_id, faults)
    return counts


def _write_rounds(session: Session, plan: Plan, batch: Batch, counts: Counts, faults: list[FaultError]) -> list[str]:
    """Write the rows in rounds, so that the result is that of one row after the other.

    A row waits for a later round when an earlier one is about the same person or may change who has its external id.
    The answer is the keys of the people that were created in a dry run.
    """
    waiting, created = batch.rows, list[str]()
    while waiting:
        rows, later = _first_of_each_key(waiting)
        _stage(session, rows)
        found = _resolve(session, plan, rows, [row.line for row in later])
        faults += found.faults
        left_out = found.postponed | {fault.line for fault in found.faults}
        if left_out:
            session.execute(statements.LEAVE_OUT, {"lines": list(left_out)})
        taken = [row for row in rows if row.line not in left_out]
        fresh = [row for row in taken if row.line not in found.known]
        _change_known(session, plan, [found.known[row.line] for row in taken if row.line in found.known], counts)
        _create_fresh(session, plan, len(fresh), counts)
        created += [row.key for row in fresh] if plan.dry_run else []
        waiting = sorted([*later, *(row for row in rows if row.line in found.postponed)], key=attrgetter("line"))
        if waiting:
            session.execute(statements.CLEAR_STAGING)
    return created


def _first_of_each_key(rows: Sequence[Staged]) -> tuple[list[Staged], list[Staged]]:
    """The first row of each key, unless it has an external id of an earlier row that waits; and the other rows."""
    first, later = list[Staged](), list[Staged]()
    keys, waiting_ids = set[str](), set[str]()
    for row in rows:
        key, external_id = row.key, row.external_id
        if key in keys or (external_id and external_id in waiting_ids):
            later.append(row)
            waiting_ids.add(external_id)
        else:
            first.append(row)
        keys.add(key)
    return first, later


def _stage(session: Session, rows: Sequence[Staged]) -> None:
    """Bring rows into the staging table, which is empty."""
    connection = session.connection().connection.driver_connection
    assert isinstance(connection, Connection)
    with connection.cursor() as cursor, cursor.copy(sql.SQL(statements.COPY_STAGED)) as copy:
        copy.write("".join([row.text for row in rows]).encode())


def _resolve(session: Session, plan: Plan, rows: Sequence[Staged], waiting: Sequence[int]) -> _Round:
    """Find who is there already, and which rows must wait for the next round or cannot be taken."""
    found, lines = _Round(), dict[UUID, int]()
    for line, person_id, matches in sorted(session.execute(statements.FIND_KNOWN[plan.key])):
        found.known[line] = person_id
        if matches > 1:
            reason = f"several people have this {plan.key}; import by another key"
            found.faults.append(FaultError(line, plan.key, reason))
        elif person_id in lines:
            # Two addresses of one person are two keys in the file.
            found.postponed.add(line)
        lines.setdefault(person_id, line)
    refused = {fault.line for fault in found.faults}
    found.postponed |= _claimed_twice(rows) - refused
    if any(row.external_id for row in rows):
        _settle_external_ids(session, found, lines, waiting)
    return found


def _settle_external_ids(session: Session, found: _Round, lines: dict[UUID, int], waiting: Sequence[int]) -> None:
    """Refuse the external ids of others, unless an earlier row may set them free; let none be set free too early.

    `lines` is where each known person is in this round, `waiting` are the lines that come after the round.
    """
    refused = {fault.line for fault in found.faults}
    first_waiting = min([*waiting, *found.postponed], default=sys.maxsize)
    for line, owner in session.execute(statements.EXTERNAL_IDS):
        taken = owner is not None and owner != found.known.get(line)
        if line in found.postponed | refused:
            continue
        if first_waiting < line or (taken and lines.get(owner, line) < line):
            found.postponed.add(line)
            first_waiting = min(first_waiting, line)
        elif taken:
            found.faults.append(FaultError(line, "external_id", "belongs to another person"))


def _claimed_twice(rows: Sequence[Staged]) -> set[int]:
    """The lines of rows whose external id an earlier row of the round has."""
    seen, twice = set[str](), set[int]()
    for row in rows:
        external_id = row.external_id
        if external_id in seen:
            twice.add(row.line)
        elif external_id:
            seen.add(external_id)
    return twice


def _change_known(session: Session, plan: Plan, person_ids: Sequence[UUID], counts: Counts) -> None:
    if not person_ids:
        return
    session.execute(statements.LOCK, {"ids": person_ids})
    touched = set(session.scalars(statements.ADD_ADDRESSES))
    changed = touched | set(session.scalars(statements.CHANGE_PEOPLE, {"touched": list(touched), "now": now()}))
    for bit, consent in enumerate(plan.consents):
        values = _consent_values(plan, bit, consent)
        changed |= set(session.scalars(statements.ADD_CONSENT, values))
        withdrawn = {"bit": 1 << bit, "purpose": consent.purpose, "channel": int(consent.channel)}
        counts.withdrawn_kept += session.scalar(statements.WITHDRAWN, withdrawn) or 0
    counts.updated += len(changed)
    counts.unchanged += len(person_ids) - len(changed)


def _create_fresh(session: Session, plan: Plan, count: int, counts: Counts) -> None:
    if not count:
        return
    session.execute(statements.CREATE_PEOPLE, {"now": now()})
    session.execute(statements.CREATE_ADDRESSES)
    for bit, consent in enumerate(plan.consents):
        session.execute(statements.CREATE_CONSENT, _consent_values(plan, bit, consent))
    counts.created += count


def _consent_values(plan: Plan, bit: int, consent: PlannedConsent) -> dict[str, Any]:
    return {
        "bit": 1 << bit,
        "number": f"{bit:02x}",
        "purpose": consent.purpose,
        "channel": int(consent.channel),
        "state": int(ConsentState.GRANTED),
        "basis": consent.basis or "consent",
        "evidence": f"{consent.detail + ' · ' if consent.detail else ''}{plan.file_name or 'file'}, line ",
        "now": now(),
    }


def _count_created_once(session: Session, plan: Plan, keys: Sequence[str], counts: Counts) -> None:
    """Of people that an earlier batch of a dry run would have created, a later row is a change."""
    if not keys:
        return
    values = {"import_id": plan.import_id, "keys": list(keys)}
    fresh = len(session.scalars(statements.REMEMBER_KEYS, values).all())
    counts.created -= len(keys) - fresh
    counts.updated += len(keys) - fresh


def _report(session: Session, import_id: UUID, faults: Iterable[FaultError]) -> None:
    rows = [
        {
            "import_id": import_id,
            "line": fault.line,
            "column": fault.column.replace("\0", ""),
            "reason": fault.reason.replace("\0", "\\0")[:2000],
        }
        for fault in faults
    ]
    if rows:
        session.execute(insert(RowError), rows)
