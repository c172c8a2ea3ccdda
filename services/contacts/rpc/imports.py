"""ImportsService: people from files. One thread reads and normalises while another writes the batch before."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore

import grpc
from sqlalchemy.exc import IntegrityError

from chassis.errors import Aborted, InvalidArgument, ResourceExhausted
from chassis.ids import parse_id
from chassis.server import Call
from denda.contacts.v1 import imports_service_pb2 as pb
from denda.contacts.v1 import imports_service_pb2_grpc as grpc_pb
from services.contacts import attributes
from services.contacts.imports import plan as plans
from services.contacts.imports import rows, runs, writing
from services.contacts.imports.batches import Batch, batches, skip_done
from services.contacts.imports.lines import Rows, header
from services.contacts.imports.plan import Plan
from services.contacts.models import database
from services.contacts.translate import import_to_proto, plan_from_proto, row_error_to_proto

# Each import keeps a thread of the server and two connections for as long as its client takes.
_PLACES = BoundedSemaphore(4)
TRIES = 3


class ImportsServicer(grpc_pb.ImportsServiceServicer):
    """Files in, reports out."""

    def ImportPeople(self, request_iterator: Iterator[pb.ImportPeopleRequest], context: Call) -> pb.Import:
        plan = _plan_of(next(request_iterator, pb.ImportPeopleRequest()))
        if not _PLACES.acquire(blocking=False):
            raise ResourceExhausted("Four files are being read in already; send this one when one of them is done.")
        try:
            with runs.held(database, plan.import_id):
                return _import(plan, _pieces(request_iterator))
        finally:
            _PLACES.release()

    def GetImport(self, request: pb.GetImportRequest, context: Call) -> pb.Import:
        with database.transaction() as session:
            return import_to_proto(runs.get(session, parse_id(request.id)))

    def ListImports(self, request: pb.ListImportsRequest, context: Call) -> pb.ListImportsResponse:
        with database.transaction() as session:
            found, token = runs.page(session, request)
            return pb.ListImportsResponse(imports=map(import_to_proto, found), next_page_token=token)

    def ListImportErrors(self, request: pb.ListImportErrorsRequest, context: Call) -> pb.ListImportErrorsResponse:
        with database.transaction() as session:
            found, token = runs.errors(session, parse_id(request.import_id, "import_id"), request)
            return pb.ListImportErrorsResponse(errors=map(row_error_to_proto, found), next_page_token=token)


def _plan_of(first: pb.ImportPeopleRequest) -> Plan:
    if first.WhichOneof("part") != "plan":
        raise InvalidArgument("plan", "must be in the first message, before the file")
    plan = plan_from_proto(first.plan)
    plans.check(plan)
    return plan


def _pieces(requests: Iterator[pb.ImportPeopleRequest]) -> Iterator[bytes]:
    try:
        for request in requests:
            if request.WhichOneof("part") == "plan":
                raise InvalidArgument("plan", "may only be in the first message")
            yield request.chunk
    except grpc.RpcError:
        # What is written stays, and the import goes on when the file is sent again.
        raise Aborted("The client went away before the end of the file.", reason="CLIENT_GONE") from None


def _import(plan: Plan, pieces: Iterator[bytes]) -> pb.Import:
    try:
        _read_in(plan, pieces)
    except InvalidArgument as refusal:
        with database.transaction() as session:
            runs.fail(session, plan, refusal.message)
        raise
    with database.transaction() as session:
        return import_to_proto(runs.finish(session, plan.import_id))


def _read_in(plan: Plan, pieces: Iterator[bytes]) -> None:
    """Read the file to its end, from where an earlier try stopped. Raises InvalidArgument and FailedPrecondition."""
    reading = Rows(pieces, plan.delimiter)
    found = iter(reading)
    names = header(found)
    with database.transaction() as session:
        columns = plans.columns(plan, names, attributes.types(session))
        run = runs.begin(session, plan, columns.ignored)
    skip_done(reading, found, run.rows_read, run.lines_digest)
    rest = batches(reading, found, rows.reader(plan, columns), fresh=run.rows_read == 0)
    with ThreadPoolExecutor(1, "import") as writer:
        writing_now: Future[None] | None = None
        for batch in rest:
            if writing_now:
                writing_now.result()
            runs.require_unfinished(run)
            writing_now = writer.submit(_write, plan, batch)
        if writing_now:
            writing_now.result()


def _write(plan: Plan, batch: Batch) -> None:
    """Write a batch. When somebody else took an external id meanwhile, the batch is tried again and reports it."""
    for attempt in range(TRIES):
        try:
            with database.transaction() as session:
                counts = writing.write(session, plan, batch)
                runs.advance(session, plan.import_id, batch, counts)
            return
        except IntegrityError:
            if attempt == TRIES - 1:
                raise
