"""Members of staff. Email is the log-in name, in lower case and unique; there is always an enabled administrator."""

import secrets
from collections.abc import Sequence
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from chassis.ids import new_id
from denda.options.v1.options_pb2 import ROLE_ADMIN
from services.identity import revocations, sessions
from services.identity.models import User
from services.identity.passwords import hash_password
from services.identity.settings import identity_settings

# The number of a PostgreSQL advisory lock that nothing else in this database takes.
FIRST_ADMIN_LOCK = 7100


def normalised_email(email: str) -> str:
    """A log-in name as it is stored. Raises InvalidArgument for what cannot be an address."""
    try:
        found = validate_email(email, check_deliverability=False)
    except EmailNotValidError as error:
        raise InvalidArgument("user.email", str(error)) from None
    return found.normalized.lower()


def create_user(
    session: Session,
    *,
    email: str,
    display_name: str,
    roles: Sequence[int],
    password_hash: str,
    disabled: bool = False,
    request_id: UUID | None = None,
) -> User:
    """Create a user; the same request_id again returns the one it made. Raises AlreadyExists for an email in use."""
    moment = now()
    values = {
        "id": new_id(),
        "email": normalised_email(email),
        "display_name": display_name,
        "roles": sorted(roles),
        "password_hash": password_hash,
        "disabled": disabled,
        "request_id": request_id,
        "created_at": moment,
        "updated_at": moment,
    }
    # On conflict of either, email or request_id: the answer tells them apart afterwards, whoever was first.
    created = session.scalar(insert(User).values(values).on_conflict_do_nothing().returning(User))
    return created or _made_before(session, str(values["email"]), request_id)


def _made_before(session: Session, email: str, request_id: UUID | None) -> User:
    made = session.scalar(select(User).where(User.request_id == request_id)) if request_id else None
    if made is None:
        raise AlreadyExists(f"There is a user with the email {email} already.", reason="EMAIL_TAKEN")
    return made


def user_by_id(session: Session, user_id: UUID, *, for_update: bool = False) -> User:
    """The user. Raises NotFound."""
    user = session.get(User, user_id, with_for_update=for_update)
    if user is None:
        raise NotFound("user", user_id)
    return user


def login_name(email: str) -> str:
    """What was typed as an email, as it would be stored; what cannot be an address stays as it is, in lower case."""
    try:
        return normalised_email(email)
    except InvalidArgument:
        # PostgreSQL cannot even compare a NUL.
        return email.strip().lower().replace("\0", "\ufffd")


def user_by_login_name(session: Session, name: str) -> User | None:
    """The user with this log-in name, where there is one."""
    return session.scalar(select(User).where(User.email == name))


def update_user(
    session: Session,
    user_id: UUID,
    *,
    etag: str = "",
    display_name: str | None = None,
    roles: Sequence[int] | None = None,
    disabled: bool | None = None,
) -> User:
    """Change what is not None. Fewer rights work at once: tokens issued before are revoked.

    Raises NotFound, Aborted for a stale etag, FailedPrecondition when no enabled administrator would be left.
    """
    admins = _enabled_admins_locked(session)
    user = user_by_id(session, user_id, for_update=True)
    if etag and etag != str(user.version):
        raise Aborted("The user was changed since you read it; read it again and repeat.")
    before = (user.roles, user.disabled)
    user.display_name = user.display_name if display_name is None else display_name
    user.roles = user.roles if roles is None else sorted(roles)
    user.disabled = user.disabled if disabled is None else disabled
    if admins == [user.id] and (user.disabled or ROLE_ADMIN not in user.roles):
        raise FailedPrecondition(
            "This is the last enabled administrator; give another user the role first.",
            reason="LAST_ADMINISTRATOR",
            subject=f"users/{user.id}",
        )
    if before != (user.roles, user.disabled):
        revocations.revoke_tokens(session, f"user:{user.id}")
    if user.disabled:
        sessions.end_sessions(session, user.id)
    _touch(user)
    return user


def set_password(session: Session, user_id: UUID, password_hash: str) -> User:
    """Set a new password, end the user's sessions and revoke the tokens. Raises NotFound."""
    user = user_by_id(session, user_id, for_update=True)
    user.password_hash = password_hash
    sessions.end_sessions(session, user.id)
    revocations.revoke_tokens(session, f"user:{user.id}")
    _touch(user)
    return user


def ensure_admin(session: Session) -> str | None:
    """Create the first administrator where there is no user at all, and return the password; None otherwise.

    The password is random and kept nowhere: show it once, and never log it.
    """
    session.execute(select(func.pg_advisory_xact_lock(FIRST_ADMIN_LOCK)))
    if session.scalar(select(User.id).limit(1)) is not None:
        return None
    password = secrets.token_urlsafe(15)
    create_user(
        session,
        email=identity_settings().admin_email,
        display_name="Administrator",
        roles=[ROLE_ADMIN],
        password_hash=hash_password(password),
    )
    return password


def _enabled_admins_locked(session: Session) -> list[UUID]:
    # Locked in one order, so that two administrators who demote each other at once wait instead of both succeeding.
    admins = select(User.id).where(User.roles.contains([ROLE_ADMIN]), ~User.disabled).order_by(User.id)
    return list(session.scalars(admins.with_for_update()))


def _touch(user: User) -> None:
    user.version += 1
    user.updated_at = now()
