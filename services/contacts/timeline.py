"""The timeline: everything that happened with a person, newest first.

Messages, opens, clicks, replies, tickets and notes are rows of their own; consents are read from the ledger, which
is the only place where they are kept. A message is one row, brought to its newest version; it stands at the time when
it left (or was decided not to), which later receipts do not move. So is a ticket, which stands at the time when it was
opened, on the timeline of whom it is from now.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row, Select, Text, Uuid, case, cast, func, literal, null, select, text, union_all
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chassis import requests
from chassis.clock import now
from chassis.errors import InvalidArgument
from chassis.paging import PageRequest, paginate
from services.contacts import people, texts
from services.contacts.models import Activity, Campaign, Channel, Consent, ConsentState

KINDS = ("message", "open", "click", "reply", "consent", "note", "ticket")
MOST_SUMMARY_CHARACTERS = 500

# Only people that are there: an event may come after the person was deleted. Their rows are locked in the order of
# their ids, so that two batches about the same people cannot wait for each other.
_MERGE = text("""
    WITH happened AS (
        SELECT * FROM unnest(
            CAST(:person_ids AS uuid[]), CAST(:ids AS uuid[]), CAST(:kinds AS text[]), CAST(:channels AS smallint[]),
            CAST(:summaries AS text[]), CAST(:states AS text[]), CAST(:campaign_ids AS uuid[]),
            CAST(:message_ids AS uuid[]), CAST(:versions AS integer[]), CAST(:times AS timestamptz[])
        ) AS t (person_id, id, kind, channel, summary, state, campaign_id, message_id, version, time)
    ), there AS (
        SELECT id FROM person WHERE id IN (SELECT person_id FROM happened) ORDER BY id FOR KEY SHARE
    )
    INSERT INTO activity (
        person_id, id, kind, channel, summary, state, campaign_id, message_id, version, time)
    SELECT h.person_id, h.id, h.kind, h.channel, h.summary, h.state, h.campaign_id, h.message_id, h.version, h.time
    FROM happened h JOIN there ON there.id = h.person_id
    ORDER BY h.person_id, h.id
    ON CONFLICT (person_id, id) DO UPDATE SET
        state = excluded.state, version = excluded.version,
        summary = CASE WHEN excluded.summary = '' THEN activity.summary ELSE excluded.summary END,
        time = CASE WHEN activity.state IN ('', 'scheduled', 'sending') THEN excluded.time ELSE activity.time END
    WHERE excluded.version > activity.version""")

# A ticket may turn out to be somebody else's, in whatever order that is told.
_GIVE_UP = text("""
    DELETE FROM activity a WHERE a.kind = 'ticket' AND a.id = ANY(CAST(:ids AS uuid[])) AND EXISTS (
        SELECT FROM activity newer WHERE newer.kind = 'ticket' AND newer.id = a.id AND newer.version > a.version)""")


class Happening(NamedTuple):
    """Something that happened with a person, as an event tells it; the ids are UUIDs as text, as events have them."""

    person_id: str
    id: str
    kind: str
    channel: int
    summary: str
    time: datetime
    state: str = ""
    campaign_id: str | None = None
    message_id: str | None = None
    version: int = 0


def merge(session: Session, happenings: Sequence[Happening]) -> None:
    """Add what happened, in one statement; of a thing told several times the highest version stays."""
    newest: dict[tuple[str, str], Happening] = {}
    for happening in happenings:
        key = (happening.person_id, happening.id)
        if key not in newest or newest[key].version < happening.version:
            newest[key] = happening
    rows = list(newest.values())
    if not rows:
        return
    session.execute(
        _MERGE,
        {
            "person_ids": [row.person_id for row in rows],
            "ids": [row.id for row in rows],
            "kinds": [row.kind for row in rows],
            "channels": [row.channel for row in rows],
            "summaries": [_in_short(row.summary) for row in rows],
            "states": [row.state for row in rows],
            "campaign_ids": [row.campaign_id for row in rows],
            "message_ids": [row.message_id for row in rows],
            "versions": [row.version for row in rows],
            "times": [row.time for row in rows],
        },
    )


def merge_tickets(session: Session, tickets: Sequence[Happening]) -> None:
    """Add tickets or bring them to where they stand; each is on the timeline of one person."""
    merge(session, tickets)
    if tickets:
        session.execute(_GIVE_UP, {"ids": [ticket.id for ticket in tickets]})


def learn_campaigns(session: Session, names: dict[UUID, str]) -> None:
    """Remember what campaigns are called, so that filters may name them."""
    there = session.scalars(select(Campaign).where(Campaign.id.in_(names)))
    known = {campaign.id: campaign.name for campaign in there}
    rows = [{"id": campaign, "name": name} for campaign, name in names.items() if name and known.get(campaign) != name]
    if rows:
        statement = insert(Campaign).values(sorted(rows, key=lambda row: str(row["id"])))
        session.execute(statement.on_conflict_do_update(index_elements=["id"], set_={"name": statement.excluded.name}))


def add_note(session: Session, person_id: UUID, note: str, actor: str, request_id: str = "") -> Row[Any]:
    """Add a note. Raises NotFound, and InvalidArgument for text that cannot be stored."""
    activity_id, repeated = requests.id_for(session, f"note {person_id}", request_id)
    if not repeated:
        people.locked(session, person_id)
        try:
            summary = texts.plain(note)
        except ValueError as error:
            raise InvalidArgument("text", str(error)) from None
        session.add(
            Activity(person_id=person_id, id=activity_id, kind="note", summary=summary, actor=actor, time=now())
        )
        session.flush()
    return session.execute(_activities(person_id).where(Activity.id == activity_id)).one()


def page(session: Session, person_id: UUID, kinds: Sequence[str], request: PageRequest) -> tuple[list[Row[Any]], str]:
    """A page of a person's activities, newest first, of these kinds or all. Raises NotFound and InvalidArgument."""
    if unknown := set(kinds) - set(KINDS):
        raise InvalidArgument("kinds", f"there is no kind {min(unknown)[:40]!r}; there are: {', '.join(KINDS)}")
    people.require(session, person_id)
    everything = union_all(_activities(person_id), _consents(person_id)).subquery("happened")
    statement = select(*everything.c)
    if kinds:
        statement = statement.where(everything.c.kind.in_(kinds))
    keys = (everything.c.time.desc(), everything.c.id.desc())
    rows, token = paginate(session, statement, keys, request, fingerprint=f"activities {person_id} {sorted(kinds)}")
    return list(rows), token


def _activities(person_id: UUID) -> Select[*tuple[Any, ...]]:
    return select(
        Activity.id,
        Activity.person_id,
        Activity.kind,
        Activity.channel,
        Activity.summary,
        Activity.state,
        Activity.campaign_id,
        # Evidence of consent may name any message, not only one of ours, so the ids are texts here.
        cast(Activity.message_id, Text).label("message_id"),
        Activity.actor,
        Activity.time,
    ).where(Activity.person_id == person_id)


def _consents(person_id: UUID) -> Select[*tuple[Any, ...]]:
    granted = Consent.state == int(ConsentState.GRANTED)
    channel = case({int(channel): channel.name.lower() for channel in Channel}, value=Consent.channel)
    by = case((Consent.source != "", func.concat(" (", Consent.source, ")")), else_="")
    return select(
        Consent.id,
        Consent.person_id,
        literal("consent").label("kind"),
        Consent.channel,
        func.concat(Consent.purpose, " by ", channel, by).label("summary"),
        case((granted, "granted"), else_="withdrawn").label("state"),
        cast(null(), Uuid).label("campaign_id"),
        Consent.message_id,
        literal("").label("actor"),
        Consent.create_time.label("time"),
    ).where(Consent.person_id == person_id)


def _in_short(summary: str) -> str:
    """The first line, without NUL, which mails from outside may contain."""
    return summary.replace("\0", "").strip().partition("\n")[0][:MOST_SUMMARY_CHARACTERS]
