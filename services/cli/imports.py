"""`denda import people`: a CSV file through ImportPeople, with its progress and a report of what was refused."""

import csv
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import UUID, uuid4, uuid5

import click
import grpc
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from denda.contacts.v1 import imports_service_pb2 as pb
from denda.contacts.v1.imports_service_pb2_grpc import ImportsServiceStub
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL, CHANNEL_SMS, CHANNEL_VOICE
from services.cli import session
from services.cli.screen import notes, out

CHUNK = 256 * 1024
# Names the import of a file's content, so that the same command goes on with what was interrupted.
NAMESPACE = UUID("5b1c1f0e-63a2-4ea4-9c25-6a0d3c2b7a51")
SHOWN_ERRORS = 20
KEYS = {
    "email": pb.ImportPlan.KEY_EMAIL,
    "phone": pb.ImportPlan.KEY_PHONE,
    "external_id": pb.ImportPlan.KEY_EXTERNAL_ID,
}
CHANNELS = {"email": CHANNEL_EMAIL, "sms": CHANNEL_SMS, "voice": CHANNEL_VOICE}
# A plain log gets a line this often, in seconds.
LINE_EVERY = 2.0

MAP_HELP = (
    "Which column is which field; may be repeated. Fields: email, phone, external_id, given_name, family_name, "
    "display_name, language, time_zone, lifecycle_stage, tags, attributes.NAME. Without it, columns that are called "
    "like a field or an attribute are taken."
)
CONSENT_HELP = (
    "Record consent, for everybody in the file or for those whose COLUMN says yes; may be repeated: "
    "marketing:email:newsletter."
)
ERRORS_HELP = "Write every row that was refused to this file: line, column, reason."


@click.group("import")
def import_group() -> None:
    """Bring data in from files."""


@import_group.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--key", type=click.Choice(list(KEYS)), default="email", help="What identifies a person. Default: email.")
@click.option("--map", "mapping", metavar="COLUMN=FIELD", multiple=True, help=MAP_HELP)
@click.option("--consent", "consents", metavar="PURPOSE:CHANNEL[:COLUMN]", multiple=True, help=CONSENT_HELP)
@click.option("--basis", default="consent", help="The legal ground of that consent. Default: consent.")
@click.option("--evidence", default="", help="How the consent can be shown later: the form's wording, its address.")
@click.option("--region", default="", metavar="ES", help="Country of phone numbers that are written without a code.")
@click.option("--delimiter", default=",", help="The character between columns. Default: a comma.")
@click.option("--dry-run", is_flag=True, help="Read and report, and write nothing.")
@click.option("--resume", metavar="ID", type=click.UUID, help="Go on with the import of this id.")
@click.option("--again", is_flag=True, help="Import the file anew, though the same one was imported before.")
@click.option(
    "--errors", "error_file", metavar="CSV", type=click.Path(dir_okay=False, path_type=Path), help=ERRORS_HELP
)
def people(
    *,
    file: Path,
    key: str,
    mapping: Sequence[str],
    consents: Sequence[str],
    basis: str,
    evidence: str,
    region: str,
    delimiter: str,
    dry_run: bool,
    resume: UUID | None,
    again: bool,
    error_file: Path | None,
) -> None:
    """Import the people of FILE, a CSV file in UTF-8 with a header row.

    A row that is wrong is reported with its line and reason and stops nothing else; the exit code is then 1. The same
    command on the same file goes on with an import that was interrupted, and does nothing when it was finished.
    """
    plan = pb.ImportPlan(
        file_name=file.name,
        mapping=dict(_pair(text) for text in mapping),
        key=KEYS[key],
        dry_run=dry_run,
        default_region=region.upper(),
        consents=[_consent(text, basis, evidence) for text in consents],
        delimiter=delimiter,
    )
    plan.import_id = str(resume or (uuid4() if again else _import_id(plan, file)))
    stub = ImportsServiceStub(session.channel("contacts"))
    if _is_finished(stub, plan.import_id):
        notes.print("This file was imported before: here is its report, and nothing is done. --again imports it anew.")
    with reading(file.name, file.stat().st_size) as read, file.open("rb") as source:
        report = stub.ImportPeople(requests(plan, source, read))
    _show_report(report)
    if report.failed:
        _show_errors(list(_errors(stub, report.id)), error_file)
        raise click.exceptions.Exit(1)


def requests(plan: pb.ImportPlan, source: BinaryIO, read: Callable[[int], None]) -> Iterator[pb.ImportPeopleRequest]:
    """The messages of one import: the plan, then the file in pieces; `read` is told how many bytes each has."""
    yield pb.ImportPeopleRequest(plan=plan)
    while chunk := source.read(CHUNK):
        yield pb.ImportPeopleRequest(chunk=chunk)
        read(len(chunk))


@contextmanager
def reading(name: str, size: int) -> Iterator[Callable[[int], None]]:
    """A progress bar over the bytes of a file; lines now and then where there is no terminal."""
    if notes.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=notes) as progress:
            task = progress.add_task(name, total=size)
            yield lambda count: progress.update(task, advance=count)
        return
    done, told = 0, time.monotonic()

    def read(count: int) -> None:
        nonlocal done, told
        done += count
        if time.monotonic() - told >= LINE_EVERY:
            told = time.monotonic()
            notes.print(f"{name}: {done:,} of {size:,} bytes", markup=False)

    yield read


def _import_id(plan: pb.ImportPlan, file: Path) -> UUID:
    """The same for the same content and the same plan."""
    with file.open("rb") as source:
        content = hashlib.file_digest(source, "sha256").digest()
    return uuid5(NAMESPACE, f"{content.hex()} {plan.SerializeToString(deterministic=True).hex()}")


def _pair(text: str) -> tuple[str, str]:
    column, found, field = text.rpartition("=")
    if not found or not column or not field:
        raise click.BadParameter(f"{text!r} is not COLUMN=FIELD, as in 'E-mail=email'", param_hint="--map")
    return column, field


def _consent(text: str, basis: str, evidence: str) -> pb.ImportConsent:
    purpose, _, rest = text.partition(":")
    channel, _, column = rest.partition(":")
    if not purpose or channel not in CHANNELS:
        known = ", ".join(CHANNELS)
        message = f"{text!r} is not PURPOSE:CHANNEL or PURPOSE:CHANNEL:COLUMN, with a channel of {known}"
        raise click.BadParameter(message, param_hint="--consent")
    return pb.ImportConsent(
        purpose=purpose, channel=CHANNELS[channel], column=column, basis=basis, evidence_detail=evidence
    )


def _is_finished(stub: ImportsServiceStub, import_id: str) -> bool:
    """Whether there is such an import already that is over."""
    try:
        return stub.GetImport(pb.GetImportRequest(id=import_id)).state == pb.Import.STATE_FINISHED
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.NOT_FOUND:
            return False
        raise


def _show_report(report: pb.Import) -> None:
    done = "would be " if report.dry_run else ""
    out.print(
        f"{report.rows_read:,} rows read: {report.created:,} {done}created, {report.updated:,} {done}updated, "
        f"{report.unchanged:,} unchanged, {report.failed:,} refused.",
        markup=False,
    )
    if report.ignored_columns:
        out.print(f"Columns that were not used: {', '.join(report.ignored_columns)}", markup=False)
    if report.error:
        out.print(report.error, markup=False)
    notes.print(f"Import {report.id}", markup=False)


def _errors(stub: ImportsServiceStub, import_id: str) -> Iterator[pb.ImportError]:
    token = ""
    while True:
        request = pb.ListImportErrorsRequest(import_id=import_id, page_size=1000, page_token=token)
        page = stub.ListImportErrors(request)
        yield from page.errors
        if not (token := page.next_page_token):
            return


def _show_errors(errors: Sequence[pb.ImportError], file: Path | None) -> None:
    table = Table("line", "column", "reason", box=None)
    for error in errors[:SHOWN_ERRORS]:
        table.add_row(str(error.line), error.column, error.reason)
    out.print(table)
    if file:
        with file.open("w", newline="") as target:
            writer = csv.writer(target)
            writer.writerow(["line", "column", "reason"])
            writer.writerows([error.line, error.column, error.reason] for error in errors)
        notes.print(f"All {len(errors):,} are in {file}.", markup=False)
    elif len(errors) > SHOWN_ERRORS:
        notes.print(f"… and {len(errors) - SHOWN_ERRORS:,} more; --errors FILE.csv writes them all.")
