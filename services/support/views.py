"""Views: filters over tickets that are kept under a name. A view is its owner's; others see it where it is shared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from chassis.auth import Caller
from chassis.clock import now
from chassis.errors import Aborted, AlreadyExists, InvalidArgument, NotFound, PermissionDenied
from chassis.paging import PageRequest, paginate
from denda.options.v1.options_pb2 import ROLE_ADMIN
from services.support import criteria
from services.support.criteria import Order
from services.support.models import View

CHANGEABLE = ("name", "filter", "order", "shared")


@dataclass(frozen=True)
class Listing:
    """Which tickets a list has, and in what order."""

    filter: str
    order: Order


def create(session: Session, view_id: UUID, changes: Mapping[str, Any], owner: str) -> View:
    """Create a view. Raises FilterError, and AlreadyExists when the owner has one of that name."""
    moment = now()
    view = View(
        id=view_id, filter="", order=0, shared=False, owner=owner, version=1, create_time=moment, update_time=moment
    )
    _set(view, changes)
    session.add(view)
    _flush(session, view)
    return view


def get(session: Session, view_id: UUID, who: Caller) -> View:
    """A view of the caller's, or a shared one. Raises NotFound."""
    return _seen(session.get(View, view_id), view_id, who)


def page(session: Session, request: PageRequest, who: Caller) -> tuple[list[View], str]:
    """A page of the views that the caller may see, by name, and the token of the next one."""
    statement = select(View).where(or_(View.owner == who.subject, View.shared))
    rows, token = paginate(session, statement, (View.name, View.id), request, fingerprint=f"views {who.subject}")
    return [view for (view,) in rows], token


def update(session: Session, view_id: UUID, changes: Mapping[str, Any], who: Caller, etag: str = "") -> View:
    """Change the fields that are named. Raises NotFound, PermissionDenied, Aborted, FilterError and AlreadyExists."""
    view = _locked(session, view_id, who, etag)
    _set(view, changes)
    view.version += 1
    view.update_time = now()
    _flush(session, view)
    return view


def remove(session: Session, view_id: UUID, who: Caller, etag: str = "") -> None:
    """Delete a view. Raises NotFound, PermissionDenied and Aborted."""
    session.delete(_locked(session, view_id, who, etag))
    session.flush()


def narrowed(session: Session, view_id: UUID, filter_text: str, order: Order, who: Caller) -> Listing:
    """A list as a view has it, narrowed by a filter of its own; an order that is set wins. Raises NotFound."""
    view = get(session, view_id, who)
    # A list's own filter is checked alone first, so that what is wrong is told at its place in it.
    criteria.condition(filter_text)
    both = [f"({text})" for text in (view.filter, filter_text) if text.strip()]
    return Listing(" AND ".join(both), order or Order(view.order))


def _seen(view: View | None, view_id: UUID, who: Caller) -> View:
    if view is None or not (view.shared or _owns(view, who)):
        raise NotFound("view", view_id)
    return view


def _owns(view: View, who: Caller) -> bool:
    return view.owner == who.subject or ROLE_ADMIN in who.roles


def _locked(session: Session, view_id: UUID, who: Caller, etag: str) -> View:
    view = _seen(session.get(View, view_id, with_for_update=True), view_id, who)
    if not _owns(view, who):
        raise PermissionDenied("This view is somebody else's; only its owner changes it.", reason="NOT_THE_OWNER")
    if etag and etag != str(view.version):
        raise Aborted("Somebody else has changed this view; read it again and repeat the change.")
    return view


def _set(view: View, changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        setattr(view, name, " ".join(value.split()) if name == "name" else value)
    if not view.name:
        raise InvalidArgument("view.name", "is empty")
    # Evaluated once for what it raises: a view that cannot be used is not kept.
    criteria.condition(view.filter)


def _flush(session: Session, view: View) -> None:
    name = view.name
    try:
        session.flush()
    except IntegrityError as error:
        if "view_name_idx" not in str(error.orig):
            raise
        raise AlreadyExists(f"You have a view {name!r} already.") from None
