"""The record of an import: where it stands, and that only one reader is at it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.db import Database
from chassis.errors import Aborted, FailedPrecondition, NotFound
from chassis.paging import PageRequest, paginate
from services.contacts.imports.batches import Batch
from services.contacts.imports.plan import Plan
from services.contacts.imports.writing import Counts
from services.contacts.models import Import, ImportKey, ImportState, RowError


@contextmanager
def held(database: Database, import_id: UUID) -> Iterator[None]:
    """Nobody else reads in this import while the block runs, in any process. Raises Aborted when somebody does.

    The lock lives as long as its connection, so that it goes with a process that dies.
    """
    key = int.from_bytes(import_id.bytes[:8], signed=True) ^ int.from_bytes(import_id.bytes[8:], signed=True)
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.scalar(select(func.pg_try_advisory_lock(key))):
            raise Aborted("This import is being read in already; ask GetImport how far it is.", reason="IMPORT_RUNNING")
        try:
            yield
        finally:
            connection.execute(select(func.pg_advisory_unlock(key)))


def begin(session: Session, plan: Plan, ignored: Sequence[str]) -> Import:
    """The record to go on with: a new one, or that of an earlier try with the same plan.

    Raises FailedPrecondition when the id belongs to another plan.
    """
    run = session.get(Import, plan.import_id)
    if run and run.state == ImportState.FAILED:
        session.delete(run)
        session.flush()
        run = None
    if run is None:
        run = _record(plan, ImportState.RUNNING)
        run.ignored_columns = [name for name in ignored if name]
        session.add(run)
        session.flush()
    if run.plan_digest != plan.digest():
        raise FailedPrecondition(
            "This import_id belongs to an import with another plan; choose another one.", reason="OTHER_PLAN"
        )
    return run


def require_unfinished(run: Import) -> None:
    """Raises FailedPrecondition when there are more rows than the finished import had."""
    if run.state == ImportState.FINISHED:
        raise FailedPrecondition(
            "This import is finished, and the file has more rows now; choose another import_id.", reason="OTHER_FILE"
        )


def advance(session: Session, import_id: UUID, batch: Batch, counts: Counts) -> None:
    """Move the place in the file, in the transaction that writes the batch."""
    run = session.get_one(Import, import_id, with_for_update=True)
    run.rows_read += batch.rows_read
    run.created += counts.created
    run.updated += counts.updated
    run.unchanged += counts.unchanged
    run.failed += counts.failed
    run.withdrawn_kept += counts.withdrawn_kept
    run.lines_digest = batch.digest
    run.update_time = now()


def finish(session: Session, import_id: UUID) -> Import:
    """The file is read to its end."""
    session.execute(delete(ImportKey).where(ImportKey.import_id == import_id))
    run = session.get_one(Import, import_id)
    if run.state != ImportState.FINISHED:
        run.state = int(ImportState.FINISHED)
        run.update_time = now()
    return run


def fail(session: Session, plan: Plan, reason: str) -> None:
    """Record why a file was refused as a whole; an import that has written something stays as it is."""
    run = session.get(Import, plan.import_id)
    if run is None:
        run = _record(plan, ImportState.FAILED)
        session.add(run)
    if run.rows_read == 0 and run.state != ImportState.FINISHED:
        run.state, run.error, run.update_time = int(ImportState.FAILED), reason, now()


def get(session: Session, import_id: UUID) -> Import:
    """An import. Raises NotFound."""
    run = session.get(Import, import_id)
    if run is None:
        raise NotFound("import", import_id)
    return run


def page(session: Session, request: PageRequest) -> tuple[list[Import], str]:
    """A page of the imports, the last one first, and the token of the next page."""
    newest_first = (Import.create_time.desc(), Import.id.desc())
    rows, token = paginate(session, select(Import), newest_first, request, fingerprint="imports")
    return [run for (run,) in rows], token


def errors(session: Session, import_id: UUID, request: PageRequest) -> tuple[list[RowError], str]:
    """A page of the rows that were not taken, by line, and the token of the next one. Raises NotFound."""
    get(session, import_id)
    statement = select(RowError).where(RowError.import_id == import_id)
    rows, token = paginate(session, statement, (RowError.line,), request, fingerprint=f"errors {import_id}")
    return [error for (error,) in rows], token


def _record(plan: Plan, state: ImportState) -> Import:
    time = now()
    return Import(
        id=plan.import_id,
        file_name=plan.file_name,
        state=int(state),
        dry_run=plan.dry_run,
        plan_digest=plan.digest(),
        lines_digest=b"",
        rows_read=0,
        created=0,
        updated=0,
        unchanged=0,
        failed=0,
        withdrawn_kept=0,
        ignored_columns=[],
        error="",
        create_time=time,
        update_time=time,
    )
