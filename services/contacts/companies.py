"""Companies and who belongs to them."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from chassis import requests
from chassis.clock import now
from chassis.errors import Aborted, AlreadyExists, InvalidArgument, NotFound, Violation
from chassis.paging import PageRequest, paginate
from services.contacts import people, texts
from services.contacts.models import Company, Membership


def create(session: Session, fields: Mapping[str, Any], request_id: str = "") -> Company:
    """Create a company. Raises InvalidArgument, and AlreadyExists when its domain or external id is taken."""
    company_id, repeated = requests.id_for(session, "company", request_id)
    if repeated:
        return get(session, company_id)
    time = now()
    company = Company(id=company_id, name="", tags=[], version=1, create_time=time, update_time=time)
    _set(company, fields)
    session.add(company)
    _flush(session)
    return company


def get(session: Session, company_id: UUID) -> Company:
    """A company. Raises NotFound."""
    company = session.get(Company, company_id)
    if company is None:
        raise NotFound("company", company_id)
    return company


def page(session: Session, request: PageRequest) -> tuple[list[Company], str]:
    """A page of the companies, by creation, and the token of the next one."""
    rows, token = paginate(session, select(Company), (Company.id,), request, fingerprint="companies")
    return [company for (company,) in rows], token


def update(session: Session, company_id: UUID, fields: Mapping[str, Any], etag: str = "") -> Company:
    """Change the fields that are named.

    Raises NotFound, InvalidArgument, AlreadyExists, and Aborted for a stale etag.
    """
    company = session.get(Company, company_id, with_for_update={"key_share": True})
    if company is None:
        raise NotFound("company", company_id)
    if etag and etag != str(company.version):
        raise Aborted("Somebody else has changed this company; read it again and repeat the change.")
    _set(company, fields)
    company.version += 1
    company.update_time = now()
    _flush(session)
    return company


def set_member(session: Session, company_id: UUID, person_id: UUID, role: str) -> Membership:
    """Say that a person belongs to a company; saying it again changes the role. Raises NotFound."""
    get(session, company_id)
    people.locked(session, person_id)
    try:
        role = texts.plain(role)
    except ValueError as error:
        raise InvalidArgument("membership.role", str(error)) from None
    statement = insert(Membership).values(company_id=company_id, person_id=person_id, role=role, create_time=now())
    session.execute(statement.on_conflict_do_update(index_elements=["company_id", "person_id"], set_={"role": role}))
    return session.get_one(Membership, (company_id, person_id), populate_existing=True)


def remove_member(session: Session, company_id: UUID, person_id: UUID) -> None:
    """End a membership, if there is one."""
    session.execute(delete(Membership).where(Membership.company_id == company_id, Membership.person_id == person_id))


def members(
    session: Session, company_id: UUID | None, person_id: UUID | None, request: PageRequest
) -> tuple[list[Membership], str]:
    """A page of a company's members or of a person's companies. Raises InvalidArgument unless one id is given."""
    if (company_id is None) == (person_id is None):
        raise InvalidArgument("company_id", "set either company_id or person_id")
    statement = select(Membership).where(
        Membership.company_id == company_id if company_id else Membership.person_id == person_id
    )
    key = Membership.person_id if company_id else Membership.company_id
    rows, token = paginate(session, statement, (key,), request, fingerprint=f"members {company_id} {person_id}")
    return [membership for (membership,) in rows], token


def _set(company: Company, fields: Mapping[str, Any]) -> None:
    violations: list[Violation] = []
    for name, value in fields.items():
        try:
            setattr(company, name, _NORMALISED[name](value))
        except ValueError as error:
            violations.append(Violation(f"company.{name}", str(error)))
    if not company.name:
        violations.append(Violation("company.name", "is empty"))
    if violations:
        first, *more = violations
        raise InvalidArgument(first.field, first.description, *more)


def _domain(value: str) -> str | None:
    value = texts.plain(value)
    if not value:
        return None
    try:
        return validate_email(f"a@{value}", check_deliverability=False, test_environment=True).domain
    except EmailNotValidError:
        raise ValueError(f"{value[:80]!r} is not a domain such as `example.com`") from None


def _optional(value: str) -> str | None:
    return texts.plain(value) or None


_NORMALISED: dict[str, Callable[[Any], Any]] = {
    "name": texts.plain,
    "domain": _domain,
    "external_id": _optional,
    "tags": texts.tags,
}


def _flush(session: Session) -> None:
    try:
        session.flush()
    except IntegrityError as error:
        for field in ("domain", "external_id"):
            if f"company_{field}_key" in str(error.orig):
                raise AlreadyExists(f"Another company has this {field}.") from None
        raise
