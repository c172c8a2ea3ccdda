"""From a template as it is written to what is rendered: MJML to HTML, styles inlined, links numbered.

MJML and HTML processors know nothing of Liquid, so its tags are hidden from them behind marks and shown again
afterwards. Errors name the line of the source as it was written.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from xml.parsers import expat

import css_inline
import html2text
from mjml import mjml2html

from services.notifications.templates import liquid
from services.notifications.templates.liquid import TemplateError

LIQUID = re.compile(
    r"\{%-?\s*raw\s*-?%\}.*?\{%-?\s*endraw\s*-?%\}|\{%-?\s*comment\s*-?%\}.*?\{%-?\s*endcomment\s*-?%\}"
    r"|\{\{.*?\}\}|\{%.*?%\}",
    re.DOTALL,
)
MARK = re.compile(r"lqx(\d+)xql")
MARKED = re.compile(r"<!--lqx(\d+)xql-->|lqx(\d+)xql")
# Where a comment would not be one: inside tags, in elements whose content is not markup, in other comments.
NO_COMMENT = re.compile(
    r"<!--.*?-->|<(style|title|script|textarea|mj-style|mj-title|mj-preview|mj-attributes)\b.*?</\1\s*>"
    r"|<[a-zA-Z/!](?:\"[^\"]*\"|'[^']*'|[^'\">])*>",
    re.DOTALL | re.IGNORECASE,
)
HTML_LINK = re.compile(
    r"(?P<before><a\b[^>]*?\shref\s*=\s*(?P<quote>[\"']))(?P<url>https?://[^\"']*)(?P<after>(?P=quote))", re.IGNORECASE
)
TEXT_LINK = re.compile(r"(?P<before>)(?P<url>https?://[^\s<>\"'()\[\]{}]*[^\s<>\"'()\[\]{}.,;:!?])(?P<after>)")
MARKDOWN_LINK = re.compile(r"\[([^\]]*)\]\(<?([^)>\s]+)>?\)")
MJML_PLACE = re.compile(r" in root template(?: at position (\d+):\d+)?")
MJML_TAG = re.compile(r"<(mj-[a-z0-9-]+)")
MJML_ELEMENTS = frozenset(
    [
        "mj-head",
        "mj-body",
        "mj-include",
        "mj-raw",
        "mj-attributes",
        "mj-all",
        "mj-class",
        "mj-breakpoint",
        "mj-font",
        "mj-html-attributes",
        "mj-selector",
        "mj-html-attribute",
        "mj-preview",
        "mj-style",
        "mj-title",
        "mj-accordion",
        "mj-accordion-element",
        "mj-accordion-title",
        "mj-accordion-text",
        "mj-button",
        "mj-carousel",
        "mj-carousel-image",
        "mj-column",
        "mj-divider",
        "mj-group",
        "mj-hero",
        "mj-image",
        "mj-navbar",
        "mj-navbar-link",
        "mj-section",
        "mj-social",
        "mj-social-element",
        "mj-spacer",
        "mj-table",
        "mj-text",
        "mj-wrapper",
    ]
)
# Style sheets are never fetched: a template must not make this server call anybody.
INLINER = css_inline.CSSInliner(
    keep_style_tags=True, keep_link_tags=True, keep_at_rules=True, load_remote_stylesheets=False
)


@dataclass(frozen=True)
class Source:
    """A variant as it is written."""

    language: str
    subject: str
    mjml: str
    html: str
    text: str


@dataclass(frozen=True)
class Compiled:
    """A variant as it is rendered: Liquid, with links as `_link_0` and the pixel as `_pixel`."""

    subject: str
    html: str
    text: str


class PartError(Exception):
    """What is wrong with one part of a variant."""

    def __init__(self, part: str, message: str) -> None:
        super().__init__(message)
        self.part = part


def compile_variant(source: Source, links: list[str]) -> Compiled:
    """Compile a variant and add its links to `links`. Raises PartError with the line."""
    with _part("subject"):
        liquid.parse(source.subject, liquid.TEXT)
    with _part("mjml" if source.mjml else "html"):
        markup = _markup(source)
        html = _show(_number_links(_inlined(markup.source), links, HTML_LINK), markup)
        liquid.parse(html, liquid.HTML)
    with _part("text"):
        liquid.parse(source.text, liquid.TEXT)
        plain = _hide(source.text) if source.text else _Hidden(_as_text(markup.source), markup.tags)
        text = _show(_number_links(plain.source, links, TEXT_LINK), plain)
        liquid.parse(text, liquid.TEXT)
    return Compiled(source.subject, _with_pixel(html), text)


@dataclass(frozen=True)
class _Hidden:
    """A source whose Liquid tags are marks, each standing for the tag of its number."""

    source: str
    tags: Sequence[str]


@contextmanager
def _part(name: str) -> Iterator[None]:
    try:
        yield
    except TemplateError as error:
        raise PartError(name, str(error)) from None


def _markup(source: Source) -> _Hidden:
    """The HTML of a variant with its Liquid hidden, whether it was written as MJML or as HTML."""
    liquid.parse(source.mjml or source.html, liquid.HTML)
    hidden = _hide(source.mjml or source.html)
    commented = _with_comments(hidden)
    if not source.mjml:
        return _Hidden(commented, hidden.tags)
    made = _Hidden(_from_mjml(commented, source.mjml), hidden.tags)
    kept = {int(found[1] or found[2]) for found in MARKED.finditer(made.source)}
    for number, tag in enumerate(hidden.tags):
        if number not in kept and not tag.startswith("{% comment"):
            before = hidden.source.index(_mark(number))
            raise TemplateError(
                _line(hidden, before), f"Liquid cannot stand at this place of an MJML document: {tag[:60]}"
            )
    return made


def _hide(source: str) -> _Hidden:
    tags: list[str] = []

    def mark(found: re.Match[str]) -> str:
        tags.append(found[0])
        return _mark(len(tags) - 1)

    return _Hidden(LIQUID.sub(mark, source), tags)


def _mark(number: int) -> str:
    return f"lqx{number}xql"


def _with_comments(hidden: _Hidden) -> str:
    """Marks of `{% … %}` become comments where that is possible, since those may stand between rows of a table."""
    closed = [found.span() for found in NO_COMMENT.finditer(hidden.source)]

    def comment(found: re.Match[str]) -> str:
        inside = any(start <= found.start() < end for start, end in closed)
        is_tag = hidden.tags[int(found[1])].startswith("{%")
        return f"<!--{found[0]}-->" if is_tag and not inside else found[0]

    return MARK.sub(comment, hidden.source)


def _show(source: str, hidden: _Hidden) -> str:
    return MARKED.sub(lambda found: hidden.tags[int(found[1] or found[2])], source)


def _line(hidden: _Hidden, position: int) -> int:
    """The line of the original source at a position of the hidden one."""
    before = hidden.source[:position]
    return _show(before, hidden).count("\n") + 1


def _from_mjml(commented: str, written: str) -> str:
    for number, line in enumerate(written.splitlines(), 1):
        for found in MJML_TAG.finditer(line):
            if found[1] not in MJML_ELEMENTS:
                raise TemplateError(number, f"MJML has no element <{found[1]}>")
    try:
        return str(mjml2html(commented))
    except ValueError as error:
        place = MJML_PLACE.search(str(error))
        at = commented.count("\n", 0, int(place[1])) + 1 if place and place[1] else _xml_error_line(commented)
        raise TemplateError(at, "not valid MJML: " + MJML_PLACE.sub("", str(error))) from None


def _xml_error_line(source: str) -> int:
    """The line where the document stops being well-formed; its last line when only the end is wrong."""
    parser = expat.ParserCreate()
    try:
        # An HTML entity is no error in MJML, but XML knows only five.
        parser.Parse(re.sub(r"&\w+;", "", source), True)
    except expat.ExpatError as error:
        return error.lineno
    return source.count("\n") + 1


def _inlined(html: str) -> str:
    try:
        return INLINER.inline(html) if html else ""
    except css_inline.InlineError as error:
        raise TemplateError(0, f"its styles cannot be inlined: {error}") from None


def _number_links(source: str, links: list[str], pattern: re.Pattern[str]) -> str:
    """Replace addresses that are the same for everybody by `{{ _link_N }}`; N is the place in `links`."""

    def numbered(found: re.Match[str]) -> str:
        url = unescape(found["url"])
        if MARK.search(url):
            return found[0]
        if url not in links:
            links.append(url)
        return f"{found['before']}{{{{ {liquid.INTERNAL}link_{links.index(url)} }}}}{found['after']}"

    return pattern.sub(numbered, source)


def _with_pixel(html: str) -> str:
    if not html:
        return ""
    at = html.rfind("</body>")
    at = len(html) if at < 0 else at
    return f"{html[:at]}{{{{ {liquid.INTERNAL}pixel }}}}{html[at:]}"


def _as_text(html: str) -> str:
    """The plain-text part that is made of an HTML part."""
    if not html:
        return ""
    converter = html2text.HTML2Text(bodywidth=0)
    converter.ignore_images = True
    converter.ignore_emphasis = True
    converter.ignore_tables = True
    converter.unicode_snob = True
    converter.single_line_break = False
    text = converter.handle(re.sub(r"<!--(lqx\d+xql)-->", r"\1", html))
    lines = [line.rstrip() for line in MARKDOWN_LINK.sub(_spelled_out, text).splitlines()]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def _spelled_out(found: re.Match[str]) -> str:
    words, url = found[1].strip(), found[2]
    return url if not words or words == url else f"{words}: {url}"
