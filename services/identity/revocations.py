"""Revocations: tokens of a subject issued before a moment are refused by every service within half a minute.

An entry is kept until the last of those tokens has expired by itself.
"""

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chassis.clock import now
from services.identity.models import Revocation
from services.identity.tokens import TOKEN_LIFETIME


def revoke_tokens(session: Session, subject: str) -> None:
    """Refuse every token that was issued to the subject up to now."""
    moment = now()
    values = {"not_before": moment, "expires_at": moment + TOKEN_LIFETIME}
    statement = insert(Revocation).values(subject=subject, **values)
    session.execute(statement.on_conflict_do_update(index_elements=[Revocation.subject], set_=values))


def revocations_in_force(session: Session) -> list[Revocation]:
    """What the services have to refuse at present."""
    return list(session.scalars(select(Revocation).where(Revocation.expires_at > now()).order_by(Revocation.subject)))


def prune_revocations(session: Session) -> None:
    """Forget revocations that no living token falls under."""
    session.execute(delete(Revocation).where(Revocation.expires_at <= now()))
