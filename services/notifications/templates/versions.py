"""Template versions, ready to be rendered. A version never changes, so what is parsed once is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from liquid import Environment
from sqlalchemy import select

from services.notifications.models import TemplateVariant, TemplateVersion, database
from services.notifications.quoted import END, SOFT_END, quoted_piece, quoted_printable
from services.notifications.templates import fragments, liquid
from services.notifications.templates.languages import closest


class Rendered(NamedTuple):
    """A message's content for one person."""

    subject: str
    html: str
    text: str


class Encoded(NamedTuple):
    """A mail's content for one person, the parts in quoted-printable; `html` is None where there is none."""

    subject: str
    html: bytes | None
    text: bytes


class Part:
    """One part of a variant: rendered as text, or in quoted-printable with the fixed text encoded once."""

    def __init__(self, source: str, environment: Environment) -> None:
        self.template = liquid.parse(source, environment)
        self._pieces = fragments.taken_apart(self.template, quoted_piece)

    def rendered(self, fields: Mapping[str, Any]) -> str:
        """The text with these merge fields. Raises MissingField or RenderError."""
        return liquid.render(self.template, fields)

    def quoted(self, fields: Mapping[str, Any]) -> bytes:
        """The same in quoted-printable."""
        if self._pieces is None:
            return quoted_printable(self.rendered(fields))
        body = fragments.filled(self._pieces, self.template, fields, quoted_piece)
        return body if body.endswith(END) and not body.endswith(SOFT_END) else body + END


class Line:
    """A variant's subject: one line."""

    def __init__(self, source: str) -> None:
        self.template = liquid.parse(source, liquid.TEXT)
        self._pieces = fragments.taken_apart(self.template, str.encode)

    def rendered(self, fields: Mapping[str, Any]) -> str:
        """The line with these merge fields. Raises MissingField or RenderError."""
        if self._pieces is None:
            return " ".join(liquid.render(self.template, fields).split())
        return " ".join(fragments.filled(self._pieces, self.template, fields, str.encode).decode().split())


@dataclass(frozen=True, eq=False)
class Variant:
    """A version in one language, parsed. Compared by identity: there is one object for each."""

    language: str
    subject: Line
    html: Part | None
    text: Part
    required: frozenset[str]

    def render(self, fields: Mapping[str, Any]) -> Rendered:
        """The content with these merge fields. Raises MissingField or RenderError."""
        html = self.html.rendered(fields) if self.html else ""
        return Rendered(self.subject.rendered(fields), html, self.text.rendered(fields))

    def encode(self, fields: Mapping[str, Any]) -> Encoded:
        """The content for a mail. Raises MissingField or RenderError."""
        html = self.html.quoted(fields) if self.html else None
        return Encoded(self.subject.rendered(fields), html, self.text.quoted(fields))


@dataclass(frozen=True, eq=False)
class Version:
    """All languages of a version; `links` are its trackable addresses by number."""

    variants: Sequence[Variant]
    links: Sequence[str]
    _chosen: dict[str, Variant] = field(default_factory=dict)

    def in_language(self, language: str) -> Variant:
        """The variant for somebody of this language."""
        found = self._chosen.get(language)
        if found is None:
            found = self.variants[closest([variant.language for variant in self.variants], language)]
            self._chosen[language] = found
        return found


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
    variant = Variant(
        language, Line(subject), Part(html, liquid.HTML) if html else None, Part(text, liquid.TEXT), frozenset()
    )
    uses = liquid.Uses()
    for part in (variant.subject, variant.html, variant.text):
        if part:
            uses.add(part.template)
    return replace(variant, required=frozenset(uses.required))
