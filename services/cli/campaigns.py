"""`denda campaign`: how campaigns stand, live, and why somebody did or did not get one."""

import time
from collections.abc import Iterator
from uuid import UUID

import click
import grpc
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from denda.campaigns.v1 import campaigns_service_pb2 as pb
from denda.campaigns.v1.campaign_pb2 import Campaign, Results
from denda.campaigns.v1.campaigns_service_pb2_grpc import CampaignsServiceStub
from denda.contacts.v1.people_service_pb2 import ListPeopleRequest
from denda.contacts.v1.people_service_pb2_grpc import PeopleServiceStub
from services.cli import session
from services.cli.screen import notes, out

COUNTS = ("planned", "skipped", "sent", "delivered", "bounced", "failed", "unknown")
LISTED = ("recipients", "skipped", "sent", "delivered", "opened", "clicked")
ENGAGEMENTS = ("opened", "clicked", "complained", "unsubscribed", "replied")
# A plain log gets a line this often, in seconds; the stream itself speaks twice a second.
LINE_EVERY = 2.0
RECONNECTS = 10


@click.group()
def campaign() -> None:
    """See how campaigns stand."""


@campaign.command("list")
def list_campaigns() -> None:
    """List the newest 50 campaigns with what became of them."""
    stub = CampaignsServiceStub(session.channel("campaigns"))
    table = Table(Column("id", no_wrap=True), "name", "state", *LISTED, box=None)
    for one in stub.ListCampaigns(pb.ListCampaignsRequest()).campaigns:
        results = stub.GetResults(pb.GetResultsRequest(campaign_id=one.id))
        table.add_row(one.id, one.name, state_of(one), *(f"{getattr(results, name):,}" for name in LISTED))
    out.print(table if table.row_count else "There are no campaigns yet.")


@campaign.command(short_help="Follow a campaign until everybody has an outcome.")
@click.argument("campaign_id", metavar="CAMPAIGN")
def watch(campaign_id: str) -> None:
    """Follow CAMPAIGN (its id or its name) until every recipient has an outcome."""
    stub = CampaignsServiceStub(session.channel("campaigns"))
    results = follow(stub, _campaign_id(stub, campaign_id))
    out.print(_results_table(results))


@campaign.command(short_help="Say why somebody did or did not get a campaign.")
@click.argument("campaign_id", metavar="CAMPAIGN")
@click.argument("person", metavar="PERSON")
def explain(campaign_id: str, person: str) -> None:
    """Say why PERSON (id or email address) did or did not get CAMPAIGN (id or name)."""
    stub = CampaignsServiceStub(session.channel("campaigns"))
    chosen = _campaign_id(stub, campaign_id)
    for person_id in _people_ids(person):
        answer = stub.ExplainRecipient(pb.ExplainRecipientRequest(campaign_id=chosen, person_id=person_id))
        out.print(f"{person_id}: {answer.summary}", markup=False)
        table = Table("time", "service", "kind", "fact", box=None)
        for fact in answer.facts:
            when = fact.time.ToDatetime().isoformat(sep=" ", timespec="seconds") if fact.HasField("time") else ""
            table.add_row(when, fact.source, fact.kind, fact.text)
        out.print(table)


def follow(stub: CampaignsServiceStub, campaign_id: str) -> Results:
    """Show a campaign's progress until it ends or is paused by somebody's Ctrl-C; answers the last counts."""
    return _follow_live(stub, campaign_id) if notes.is_terminal else _follow_in_lines(stub, campaign_id)


def state_of(one: Campaign) -> str:
    """A campaign's state as people write it: `sending`."""
    return Campaign.State.Name(one.state).removeprefix("STATE_").lower()


def _follow_live(stub: CampaignsServiceStub, campaign_id: str) -> Results:
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[counts]}"),
    )  # fmt: skip
    results = Results()
    with Progress(*columns, console=notes) as progress:
        task = progress.add_task("…", total=None, counts="")
        for news in _news(stub, campaign_id):
            results = news.results
            progress.update(
                task,
                description=f"{news.campaign.name} ({state_of(news.campaign)})",
                total=max(news.audience_size, results.recipients),
                completed=results.recipients - results.planned,
                counts=_counts(results),
            )
    return results


def _follow_in_lines(stub: CampaignsServiceStub, campaign_id: str) -> Results:
    results, told, said = Results(), 0.0, ""
    for news in _news(stub, campaign_id):
        results, ended = news.results, _has_ended(news.campaign)
        line = f"{news.campaign.name}: {state_of(news.campaign)}, {_counts(results)}"
        if line != said and (ended or time.monotonic() - told >= LINE_EVERY):
            notes.print(line, markup=False)
            told, said = time.monotonic(), line
    return results


def _news(stub: CampaignsServiceStub, campaign_id: str) -> Iterator[pb.WatchCampaignResponse]:
    """What the stream says; each message is the whole state, so a broken stream is simply opened again."""
    for attempt in range(RECONNECTS + 1):
        try:
            yield from stub.WatchCampaign(pb.WatchCampaignRequest(id=campaign_id))
            return
        except grpc.RpcError as error:
            # Only a server that went away is worth another try.
            if _code(error) != grpc.StatusCode.UNAVAILABLE or attempt == RECONNECTS:
                raise
            time.sleep(1)


def _code(error: grpc.RpcError) -> grpc.StatusCode | None:
    code = getattr(error, "code", None)
    return code() if callable(code) else None


def _has_ended(one: Campaign) -> bool:
    return one.state in {Campaign.STATE_FINISHED, Campaign.STATE_CANCELLED}


def _counts(results: Results) -> str:
    parts = [f"{name} {getattr(results, name):,}" for name in COUNTS if getattr(results, name)]
    return ", ".join(parts) or "nobody yet"


def _results_table(results: Results) -> Table:
    table = Table("", "recipients", box=None)
    for name in COUNTS:
        table.add_row(name, f"{getattr(results, name):,}")
        if name == "skipped":
            for reason, count in sorted(results.skipped_by_reason.items()):
                table.add_row(f"  {reason}", f"{count:,}")
    table.add_row("all", f"{results.recipients:,}", end_section=True)
    for name in ENGAGEMENTS:
        table.add_row(name, f"{getattr(results, name):,}")
    return table


def _campaign_id(stub: CampaignsServiceStub, text: str) -> str:
    """The id of a campaign told by id or by name."""
    if _is_uuid(text):
        return text
    token = ""
    while True:
        page = stub.ListCampaigns(pb.ListCampaignsRequest(page_size=1000, page_token=token))
        for one in page.campaigns:
            if one.name.casefold() == text.casefold():
                return one.id
        if not (token := page.next_page_token):
            raise click.ClickException(f"There is no campaign called {text!r}; `denda campaign list` shows them.")


def _people_ids(text: str) -> list[str]:
    """The ids of the people told by id or by an email address, which several may share."""
    if _is_uuid(text):
        return [text]
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    stub = PeopleServiceStub(session.channel("contacts"))
    found = [person.id for person in stub.ListPeople(ListPeopleRequest(filter=f'email = "{quoted}"')).people]
    if not found:
        raise click.ClickException(f"Nobody has the email address {text}.")
    return found


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
