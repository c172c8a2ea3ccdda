"""Template versions, ready to be rendered. A version never changes, so what is parsed once is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from liquid import BoundTemplate
from sqlalchemy import select

from services.notifications.models import TemplateVariant, TemplateVersion, database
from services.notifications.templates import liquid
from services.notifications.templates.languages import closest


@dataclass(frozen=True)
class Rendered:
    """A message's content for one person."""

    subject: str
    html: str
    text: str


@dataclass(frozen=True, eq=False)
class Variant:
    """A version in one language, parsed. Compared by identity: there is one object for each."""

    language: str
    subject: BoundTemplate
    html: BoundTemplate | None
    text: BoundTemplate
    required: frozenset[str]

    def render(self, fields: Mapping[str, Any]) -> Rendered:
        """The content with these merge fields. Raises MissingField or RenderError."""
        subject = " ".join(liquid.render(self.subject, fields).split())
        html = liquid.render(self.html, fields) if self.html else ""
        return Rendered(subject, html, liquid.render(self.text, fields))


@dataclass(frozen=True, eq=False)
class Version:
    """All languages of a version; `links` are its trackable addresses by number."""

    variants: Sequence[Variant]
    links: Sequence[str]

    def in_language(self, language: str) -> Variant:
        """The variant for somebody of this language."""
        return self.variants[closest([variant.language for variant in self.variants], language)]


@lru_cache(maxsize=256)
def version_of(template_id: UUID, version: int) -> Version:
    """The parsed version, read in a transaction of its own the first time. Raises LookupError when there is none."""
    with database.transaction() as session:
        head = session.get(TemplateVersion, (template_id, version))
        if head is None:
            raise LookupError(f"template {template_id} has no version {version}")
        rows = session.scalars(
            select(TemplateVariant)
            .where(TemplateVariant.template_id == template_id, TemplateVariant.version == version)
            .order_by(TemplateVariant.position)
        ).all()
    return Version(
        [parsed(row.language, row.subject, row.compiled_html, row.compiled_text) for row in rows], head.links
    )


def parsed(language: str, subject: str, html: str, text: str) -> Variant:
    """A variant from its compiled sources."""
    uses = liquid.Uses()
    parts = [liquid.parse(subject, liquid.TEXT), liquid.parse(text, liquid.TEXT)]
    markup = liquid.parse(html, liquid.HTML) if html else None
    for part in [*parts, *([markup] if markup else [])]:
        uses.add(part)
    return Variant(language, parts[0], markup, parts[1], frozenset(uses.required))
