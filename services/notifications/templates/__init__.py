"""Templates: written, checked and kept in versions that never change.

A new version is added under the etag of the one before, which is the version's number. What does not compile
is not kept.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from chassis.clock import now
from chassis.errors import Aborted, InvalidArgument, NotFound, Violation
from chassis.ids import new_id
from services.notifications.models import Template, TemplateVariant, TemplateVersion
from services.notifications.states import Channel
from services.notifications.templates import liquid
from services.notifications.templates.compile import Compiled, PartError, Source, compile_variant

LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")


@dataclass(frozen=True)
class Content:
    """A version in all its languages, compiled."""

    sources: Sequence[Source]
    compiled: Sequence[Compiled]
    links: Sequence[str]
    required: Sequence[str]
    optional: Sequence[str]


@dataclass(frozen=True)
class Stored:
    """A template in one version; without variants where only the head was asked for."""

    template: Template
    version: TemplateVersion
    variants: Sequence[TemplateVariant]


def compile_content(channel: Channel, sources: Sequence[Source]) -> Content:
    """Check and compile what somebody wrote. Raises InvalidArgument that names variant, part and line."""
    wrong = [violation for number, source in enumerate(sources) for violation in _misplaced(channel, number, source)]
    tags = [source.language.lower() for source in sources]
    wrong += [
        Violation(f"template.variants[{number}].language", f"there is a variant in {tag} before it")
        for number, tag in enumerate(tags)
        if tag in tags[:number]
    ]
    if wrong:
        raise InvalidArgument(wrong[0].field, wrong[0].description, *wrong[1:])
    links: list[str] = []
    compiled = []
    for number, source in enumerate(sources):
        try:
            compiled.append(compile_variant(source, links))
        except PartError as error:
            wrong.append(Violation(f"template.variants[{number}].{error.part}", str(error)))
    if wrong:
        raise InvalidArgument(wrong[0].field, wrong[0].description, *wrong[1:])
    uses = liquid.Uses()
    for each in compiled:
        for part, environment in ((each.subject, liquid.TEXT), (each.html, liquid.HTML), (each.text, liquid.TEXT)):
            uses.add(liquid.parse(part, environment))
    return Content(sources, compiled, links, sorted(uses.required), sorted(uses.optional))


def create(session: Session, name: str, channel: Channel, content: Content, request_id: str = "") -> Stored:
    """Create a template with its first version; a repeated request_id answers the template of the first call."""
    moment = now()
    made = session.scalar(
        insert(Template)
        .values(
            id=new_id(),
            name=name,
            channel=channel,
            version=1,
            request_id=request_id or None,
            create_time=moment,
            update_time=moment,
        )
        .on_conflict_do_nothing(index_elements=["request_id"])
        .returning(Template.id)
    )
    if made is None:
        made = session.scalars(select(Template.id).where(Template.request_id == request_id)).one()
        return get(session, made)
    _add_version(session, made, 1, content)
    return get(session, made)


def update(session: Session, template_id: UUID, name: str, channel: Channel, content: Content, *, etag: str) -> Stored:
    """Add a version. Raises NotFound, Aborted for a stale etag, InvalidArgument for another channel."""
    template = session.get(Template, template_id, with_for_update=True)
    if template is None:
        raise NotFound("template", template_id)
    if etag and etag != etag_of(template):
        raise Aborted("Somebody else has changed the template; read it again and repeat.")
    if channel != template.channel:
        raise InvalidArgument("template.channel", "is fixed when the template is created")
    template.version += 1
    template.name = name
    template.update_time = now()
    _add_version(session, template_id, template.version, content)
    return get(session, template_id)


def get(session: Session, template_id: UUID, version: int = 0) -> Stored:
    """A template in a version; 0 means the newest. Raises NotFound."""
    template = session.get(Template, template_id)
    if template is None:
        raise NotFound("template", template_id)
    head = session.get(TemplateVersion, (template_id, version or template.version))
    if head is None:
        raise NotFound("template version", f"{template_id} version {version}")
    variants = session.scalars(
        select(TemplateVariant)
        .where(TemplateVariant.template_id == template_id, TemplateVariant.version == head.version)
        .order_by(TemplateVariant.position)
    ).all()
    return Stored(template, head, variants)


def newest_version(session: Session, template_id: UUID) -> int:
    """The number of the newest version. Raises NotFound."""
    found = session.scalar(select(func.max(TemplateVersion.version)).where(TemplateVersion.template_id == template_id))
    if found is None:
        raise NotFound("template", template_id)
    return int(found)


def etag_of(template: Template) -> str:
    """Changes with every version."""
    return f'"{template.version}"'


def _add_version(session: Session, template_id: UUID, version: int, content: Content) -> None:
    session.add(
        TemplateVersion(
            template_id=template_id,
            version=version,
            required=list(content.required),
            optional=list(content.optional),
            links=list(content.links),
            create_time=now(),
        )
    )
    session.flush()
    for position, (source, compiled) in enumerate(zip(content.sources, content.compiled, strict=True)):
        session.add(
            TemplateVariant(
                template_id=template_id,
                version=version,
                position=position,
                language=source.language,
                subject=source.subject,
                mjml=source.mjml,
                html=source.html,
                text=source.text,
                compiled_html=compiled.html,
                compiled_text=compiled.text,
            )
        )
    session.flush()


def _misplaced(channel: Channel, number: int, source: Source) -> list[Violation]:
    """Parts that the channel lacks or must not have."""
    at = f"template.variants[{number}]"
    wrong = []
    if not LANGUAGE.fullmatch(source.language):
        wrong.append(
            Violation(f"{at}.language", f"{source.language!r} is not a BCP 47 language tag such as eu or es-ES")
        )
    if channel == Channel.EMAIL:
        if not source.subject.strip():
            wrong.append(Violation(f"{at}.subject", "an email needs a subject"))
        if source.mjml and source.html:
            wrong.append(Violation(f"{at}.mjml", "give MJML or HTML, not both"))
        if not (source.mjml or source.html or source.text).strip():
            wrong.append(Violation(f"{at}.text", "an email needs MJML, HTML or text"))
        return wrong
    wrong += [
        Violation(f"{at}.{part}", "only an email has one")
        for part in ("subject", "mjml", "html")
        if getattr(source, part)
    ]
    if not source.text.strip():
        wrong.append(Violation(f"{at}.text", "the text part is missing"))
    return wrong
