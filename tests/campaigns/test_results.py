"""Counts and lists: exact, and from an index however large the ledger is."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import ClauseElement, select, text

from chassis.service import Service
from denda.campaigns.v1 import campaign_pb2 as pb
from denda.campaigns.v1 import campaigns_service_pb2 as service_pb
from denda.campaigns.v1.campaigns_service_pb2_grpc import CampaignsServiceStub
from services.campaigns import ledger, outcomes, results
from services.campaigns.arrays import array_of
from services.campaigns.models import Recipient, RecipientState, database
from tests.campaigns.neighbours import Neighbours, a_candidate
from tests.campaigns.stories import a_change, counted_statements, hear, launched, planned, refused
from tests.campaigns.stories import results as results_of
from tests.kit.events import eventually

LARGE, SMALL = UUID(int=1), UUID(int=2)


@pytest.fixture
def a_large_ledger(migrated: Callable[[str], Service]) -> None:
    """A campaign of 100,000 in several states beside twenty of 3,000, as after some time of work."""
    migrated("campaigns")
    with database.transaction() as session:
        session.execute(
            text("""
            INSERT INTO recipient (campaign_id, step, person_id, message_id, address_digest, state, skip_reason,
                                   detail, message_version, state_time, open_time)
            SELECT lpad(to_hex(campaign), 32, '0')::uuid, 0, md5(campaign || '/' || n)::uuid,
                   md5('m' || campaign || '/' || n)::uuid, decode(md5('a' || campaign || '/' || n), 'hex'),
                   CASE WHEN n % 5000 = 0 THEN 5 WHEN n % 10 = 0 THEN 2 ELSE 3 END,
                   CASE WHEN n % 10 = 0 AND n % 5000 <> 0 THEN n / 10 % 3 + 1 ELSE 0 END, '', 1, now(),
                   CASE WHEN n % 20 = 1 THEN now() END
            FROM generate_series(1, 21) AS campaign,
                 generate_series(1, CASE campaign WHEN 1 THEN 100000 ELSE 3000 END) AS n""")
        )
    # Whatever else looks at the database just then keeps pages from being known as visible to all.
    eventually(_vacuumed)


def _vacuumed() -> bool:
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE recipient"))
        pages = connection.execute(text("SELECT relallvisible, relpages FROM pg_class WHERE relname = 'recipient'"))
        visible, all_of_them = pages.one()
    return bool(visible == all_of_them)


def plan_of(statement: ClauseElement) -> str:
    """How PostgreSQL would execute a statement."""
    dialect = database.engine.dialect
    compiled = str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})).replace("%%", "%")
    with database.engine.connect() as connection:
        return "\n".join(connection.exec_driver_sql(f"EXPLAIN {compiled}").scalars())


@pytest.mark.usefixtures("a_large_ledger")
def test_hot_queries_use_their_indexes_on_a_large_ledger() -> None:
    with database.transaction() as session:
        counts = results.results_of(session, LARGE)
    assert counts.recipients == 100_000
    assert (counts.by_state[RecipientState.BOUNCED], counts.engaged["opened"]) == (20, 5_000)
    counting = plan_of(results.counting(LARGE))
    assert "Index Only Scan using recipient_state_idx" in counting
    assert "Index Only Scan using recipient_engaged_idx" in counting
    bounced = plan_of(ledger.recipients_of(LARGE, RecipientState.BOUNCED).order_by(Recipient.person_id).limit(51))
    assert "Index Scan using recipient_state_idx" in bounced
    everybody = plan_of(ledger.recipients_of(LARGE, None).order_by(Recipient.person_id).limit(51))
    assert "Index Scan using recipient_pkey" in everybody
    ids = array_of(f"{number:032x}" for number in range(500))
    by_message = plan_of(outcomes._LOCK.bindparams(ids=ids))
    assert "recipient_message_id_key" in by_message
    # Whether nobody of a campaign waits any more.
    waiting = select(Recipient.person_id).filter_by(campaign_id=LARGE, state=RecipientState.PLANNED).limit(1)
    assert "recipient_state_idx" in plan_of(waiting)
    deleted = ledger.recipients_of(LARGE, None).where(Recipient.person_id == SMALL)
    assert "Index Scan using recipient_pkey" in plan_of(deleted)
    assert "Seq Scan" not in counting + bounced + everybody + by_message


def test_counts_add_up(marketer: CampaignsServiceStub, neighbours: Neighbours) -> None:
    neighbours.candidates += [
        a_candidate(4, ineligibility="INELIGIBILITY_NO_CONSENT"),
        a_candidate(5),
        a_candidate(6),
        a_candidate(7),
    ]
    campaign = planned(marketer)
    hear(
        a_change(campaign, 1, "SENT"),
        a_change(campaign, 2, "DELIVERED"),
        a_change(campaign, 3, "BOUNCED"),
        a_change(campaign, 5, "FAILED"),
        a_change(campaign, 6, "UNKNOWN"),
    )
    counts = results_of(marketer, campaign)
    each = [counts.planned, counts.skipped, counts.sent, counts.delivered]
    each += [counts.bounced, counts.failed, counts.unknown]
    assert each == [1] * 7
    assert counts.recipients == sum(each)


def test_a_campaign_without_recipients_counts_nothing(marketer: CampaignsServiceStub) -> None:
    assert results_of(marketer, launched(marketer)) == pb.Results()


def test_counting_takes_one_statement(marketer: CampaignsServiceStub) -> None:
    campaign = planned(marketer)
    with counted_statements(database.engine) as statements, database.transaction() as session:
        results.results_of(session, UUID(campaign.id))
    assert len(statements) == 1


def test_the_ledger_is_listed_by_person_page_by_page(marketer: CampaignsServiceStub, neighbours: Neighbours) -> None:
    neighbours.candidates = [a_candidate(number) for number in range(1, 8)]
    campaign = planned(marketer)
    hear(a_change(campaign, 2, "BOUNCED"), a_change(campaign, 6, "BOUNCED"))
    assert _all_pages(marketer, campaign) == [1, 2, 3, 4, 5, 6, 7]
    assert _all_pages(marketer, campaign, state=pb.RECIPIENT_STATE_BOUNCED) == [2, 6]
    assert _all_pages(marketer, campaign, state=pb.RECIPIENT_STATE_FAILED) == []


def test_a_page_token_of_another_list_is_refused(marketer: CampaignsServiceStub) -> None:
    campaign = planned(marketer)
    first = marketer.ListRecipients(service_pb.ListRecipientsRequest(campaign_id=campaign.id, page_size=1))
    for request in (
        service_pb.ListRecipientsRequest(
            campaign_id=campaign.id, state=pb.RECIPIENT_STATE_SENT, page_token=first.next_page_token
        ),
        service_pb.ListRecipientsRequest(campaign_id=campaign.id, page_token="nonsense"),
    ):
        assert "page_token" in (refused(marketer.ListRecipients, request).details() or "")


def _all_pages(stub: CampaignsServiceStub, campaign: pb.Campaign, **filters: Any) -> list[int]:
    """The numbers of the people in the ledger, three a page."""
    found: list[int] = []
    token = ""
    while True:
        request = service_pb.ListRecipientsRequest(campaign_id=campaign.id, page_size=3, page_token=token, **filters)
        page = stub.ListRecipients(request)
        found += [UUID(one.person_id).int for one in page.recipients]
        token = page.next_page_token
        if not token:
            return found
