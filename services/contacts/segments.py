"""Segments: descriptions of people, evaluated whenever they are used."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from chassis import requests
from chassis.clock import now
from chassis.errors import Aborted, AlreadyExists, InvalidArgument, NotFound
from chassis.paging import PageRequest, paginate
from services.contacts import criteria, texts
from services.contacts.models import Person, Segment

MOST_COUNTED = 1_000_000


def create(session: Session, fields: Mapping[str, str], request_id: str = "") -> Segment:
    """Create a segment. Raises FilterError, and AlreadyExists when the name is taken."""
    segment_id, repeated = requests.id_for(session, "segment", request_id)
    if repeated:
        return get(session, segment_id)
    time = now()
    segment = Segment(id=segment_id, description="", filter="", version=1, create_time=time, update_time=time)
    _set(session, segment, fields)
    session.add(segment)
    _flush(session, segment)
    return segment


def get(session: Session, segment_id: UUID) -> Segment:
    """A segment. Raises NotFound."""
    segment = session.get(Segment, segment_id)
    if segment is None:
        raise NotFound("segment", segment_id)
    return segment


def page(session: Session, request: PageRequest) -> tuple[list[Segment], str]:
    """A page of the segments, by creation, and the token of the next one."""
    rows, token = paginate(session, select(Segment), (Segment.id,), request, fingerprint="segments")
    return [segment for (segment,) in rows], token


def update(session: Session, segment_id: UUID, fields: Mapping[str, str], etag: str = "") -> Segment:
    """Change the fields that are named. Raises NotFound, FilterError, AlreadyExists, and Aborted for a stale etag."""
    segment = session.get(Segment, segment_id, with_for_update=True)
    if segment is None:
        raise NotFound("segment", segment_id)
    if etag and etag != str(segment.version):
        raise Aborted("Somebody else has changed this segment; read it again and repeat the change.")
    _set(session, segment, fields)
    segment.version += 1
    segment.update_time = now()
    _flush(session, segment)
    return segment


def remove(session: Session, segment_id: UUID) -> None:
    """Delete a segment. Raises NotFound."""
    session.delete(get(session, segment_id))


def count(session: Session, filter_text: str, most: int = 0) -> tuple[int, bool]:
    """How many people a filter describes, counted up to `most` (0: a million), and whether there are more."""
    most = min(most or MOST_COUNTED, MOST_COUNTED)
    matching = select(Person.id).where(criteria.condition(session, filter_text)).limit(most + 1).subquery()
    found = session.scalar(select(func.count()).select_from(matching)) or 0
    return min(found, most), found > most


def _set(session: Session, segment: Segment, fields: Mapping[str, str]) -> None:
    for name, value in fields.items():
        try:
            setattr(segment, name, texts.plain(value))
        except ValueError as error:
            raise InvalidArgument(f"segment.{name}", str(error)) from None
    if not segment.name:
        raise InvalidArgument("segment.name", "is empty")
    # Evaluated once for what it raises: a segment that cannot be used is not kept.
    criteria.condition(session, segment.filter)


def _flush(session: Session, segment: Segment) -> None:
    name = segment.name
    try:
        session.flush()
    except IntegrityError as error:
        if "segment_name_key" not in str(error.orig):
            raise
        raise AlreadyExists(f"There is a segment {name!r} already.") from None
