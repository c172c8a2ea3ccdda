"""HTML from outside: what is safe to show, and the text that is in it."""

import re
from html import unescape

import html2text
import nh3

from services.support.mail.charsets import storable

# Longer HTML is a machine's; the mail as it came is kept anyway.
MOST_HTML = 300_000
# More tags, or quotations and lists deeper in each other, are no letter but a load on whoever reads it.
_MOST_TAGS = 20_000
_MOST_DEPTH = 50
_CELL = {"colspan", "rowspan", "align"}
_TEXT = {"a", "abbr", "b", "br", "code", "del", "em", "font", "i", "ins", "q", "s", "small", "span", "strike", "strong"}
_MORE_TEXT = {"sub", "sup", "tt", "u", "h1", "h2", "h3", "h4", "h5", "h6"}
_BLOCKS = {"blockquote", "center", "dd", "div", "dl", "dt", "hr", "li", "ol", "p", "pre", "ul"}
_TABLES = {"caption", "col", "colgroup", "table", "tbody", "td", "tfoot", "th", "thead", "tr"}
# No images: a remote one tells its owner who reads, and those inside the mail are among its files.
_CLEANER = nh3.Cleaner(
    tags=_TEXT | _MORE_TEXT | _BLOCKS | _TABLES,
    attributes={"a": {"href", "title"}, "td": _CELL, "th": _CELL, "table": {"border"}, "ol": {"start", "type"}},
    clean_content_tags={"head", "script", "style", "title", "noscript", "template", "svg", "math", "object", "iframe"},
    url_schemes={"http", "https", "mailto", "tel"},
    link_rel="noopener noreferrer nofollow",
)
_MARKUP = re.compile(r"<[^<>]*>")
_NESTING = re.compile(r"<(/?)(?:blockquote|ul|ol)\b")


def safe_html(html: str) -> str:
    """HTML without scripts, styles, forms and images; where it is too much to be shown, the text between its tags."""
    html = html[:MOST_HTML]
    if html.count("<") > _MOST_TAGS:
        html = _MARKUP.sub(" ", html).replace("<", "&lt;")
    return storable(_CLEANER.clean(html)).strip()


def text_of_html(safe: str) -> str:
    """What somebody reads in HTML that is safe already: a line for each paragraph, quotations behind `>`."""
    if _depth(safe) > _MOST_DEPTH:
        return unescape(_MARKUP.sub(" ", safe)).strip()
    reader = html2text.HTML2Text(bodywidth=0)
    reader.ignore_links = reader.ignore_emphasis = reader.ignore_tables = True
    reader.single_line_break = True
    # Cells of a row stand beside each other, and their words must not grow together.
    text = storable(reader.handle(safe.replace("</td>", " </td>")))
    return "\n".join(line.rstrip() for line in text.split("\n")).strip()


def _depth(html: str) -> int:
    depth = deepest = 0
    for tag in _NESTING.finditer(html):
        depth += -1 if tag[1] else 1
        deepest = max(deepest, depth)
    return deepest
