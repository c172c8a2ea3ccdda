"""The promise of a campaign, counted: at most one mail each, nobody lost, everybody with a state and a reason."""

import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

import grpc

from denda.campaigns.v1 import campaign_pb2, campaigns_service_pb2
from denda.campaigns.v1.campaigns_service_pb2_grpc import CampaignsServiceStub
from tests.kit.world import World

Answer = TypeVar("Answer")

State = campaign_pb2.RecipientState
ON_THEIR_WAY = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


def patiently(call: Callable[[], Answer], seconds: float = 60) -> Answer:
    """The answer of a call that is repeated while what it needs is being broken and mended."""
    until = time.monotonic() + seconds
    while True:
        try:
            return call()
        except grpc.RpcError as error:
            if error.code() not in ON_THEIR_WAY or time.monotonic() > until:
                raise
            time.sleep(0.5)


def results_at_the_end(world: World, campaign_id: str, seconds: float) -> campaign_pb2.Results:
    """The results once the campaign is finished; fails when it does not finish in time."""
    stub = CampaignsServiceStub(patiently(lambda: world.installation.channel("campaigns")))
    finished = campaign_pb2.Campaign.STATE_FINISHED
    until = time.monotonic() + seconds
    get = campaigns_service_pb2.GetCampaignRequest(id=campaign_id)
    count = campaigns_service_pb2.GetResultsRequest(campaign_id=campaign_id)
    while True:
        state = patiently(lambda: stub.GetCampaign(get)).state
        results: campaign_pb2.Results = patiently(lambda: stub.GetResults(count))
        if state == finished:
            return results
        assert time.monotonic() < until, f"the campaign does not finish: {results}{unfinished(world)}"
        time.sleep(0.5)


def unfinished(world: World) -> list[tuple[object, ...]]:
    """The first messages that are not settled, with what was tried and when they are due."""
    query = """SELECT o.message_id, m.attempts, m.detail, o.claim, o.due_time - now() AS rests, o.lease_until - now()
        FROM outgoing AS o JOIN message AS m ON m.id = o.message_id LIMIT 5"""
    with world.tables("notifications") as notifications:
        return notifications.execute(query).fetchall()


def ledger(world: World, campaign_id: str) -> dict[str, "campaigns_service_pb2.Recipient"]:
    """Every row of the ledger by person id."""
    stub = CampaignsServiceStub(patiently(lambda: world.installation.channel("campaigns")))
    rows: dict[str, campaigns_service_pb2.Recipient] = {}
    token = ""
    while True:
        request = campaigns_service_pb2.ListRecipientsRequest(campaign_id=campaign_id, page_size=1000, page_token=token)
        page = stub.ListRecipients(request)
        rows.update({row.person_id: row for row in page.recipients})
        token = page.next_page_token
        if not token:
            return rows


def addresses(world: World) -> dict[str, str]:
    """The email address of every person, by person id."""
    with world.tables("contacts") as contacts:
        rows = contacts.execute("SELECT person_id, value FROM address WHERE value LIKE '%@%'").fetchall()
    return {str(person): address for person, address in rows}


def assert_kept(world: World, campaign_id: str, people: int, seconds: float = 240) -> campaign_pb2.Results:
    """Fails unless every recipient has one state with a reason, and the sink's count agrees with it."""
    world.installation.wait_until_ready()
    results = results_at_the_end(world, campaign_id, seconds)
    rows, address_of, copies = ledger(world, campaign_id), addresses(world), world.sink.copies()
    assert results.recipients == len(rows) == people
    assert max(copies.values(), default=0) <= 1, f"sent twice: {[a for a, n in copies.items() if n > 1][:5]}"
    told = Counter(State.Name(row.state) for row in rows.values())
    assert not told["RECIPIENT_STATE_PLANNED"], told
    for person, row in rows.items():
        taken = copies[address_of[person]]
        if row.state in (State.RECIPIENT_STATE_SENT, State.RECIPIENT_STATE_DELIVERED):
            assert taken == 1, f"{person} is said to have it and was not sent to"
        elif row.state != State.RECIPIENT_STATE_UNKNOWN:
            assert taken == 0, f"{person} got it and is said to be {State.Name(row.state)}"
            assert row.detail or row.skip_reason, f"{person} has no reason"
    return results
