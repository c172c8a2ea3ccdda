"""HTML from outside: what is safe to show, and the text that is in it."""

import re

import html2text
import nh3

from services.support.mail.charsets import storable

# Longer HTML is a machine's; the mail as it came is kept anyway.
MOST_HTML = 500_000
# Signs of nesting beyond that are no letter but a load on whoever shows it.
_MOST_TAGS = 50_000
_CELL = {"colspan", "rowspan", "align"}
_TAGS = set(
    "a abbr b blockquote br caption center code col colgroup dd del div dl dt em font h1 h2 h3 h4 h5 h6 hr i ins li ol p"
    " pre q s small span strike strong sub sup table tbody td tfoot th thead tr tt u ul".split()
)
# No images: a remote one tells its owner who reads, and those inside the mail are among its files.
_CLEANER = nh3.Cleaner(
    tags=_TAGS,
    attributes={"a": {"href", "title"}, "td": _CELL, "th": _CELL, "table": {"border"}, "ol": {"start", "type"}},
    clean_content_tags={"head", "script", "style", "title", "noscript", "template", "svg", "math", "object", "iframe"},
    url_schemes={"http", "https", "mailto", "tel"},
    link_rel="noopener noreferrer nofollow",
)
_MARKUP = re.compile(r"<[^>]*>")


def safe_html(html: str) -> str:
    """HTML without scripts, styles, forms and images; empty where it is too much to be shown."""
    if html.count("<") > _MOST_TAGS:
        return ""
    return storable(_CLEANER.clean(html[:MOST_HTML])).strip()


def text_of_html(html: str) -> str:
    """What somebody reads in HTML: a line for each paragraph, quotations behind `>`."""
    html = html[:MOST_HTML]
    if html.count("<") > _MOST_TAGS:
        return storable(_MARKUP.sub(" ", html)).strip()
    reader = html2text.HTML2Text(bodywidth=0)
    reader.ignore_links = reader.ignore_images = reader.ignore_emphasis = reader.ignore_tables = True
    reader.single_line_break = True
    reader.escape_snob = False
    try:
        return storable(reader.handle(html)).strip()
    except (ValueError, IndexError, AssertionError, RecursionError, OverflowError):
        return storable(_MARKUP.sub(" ", html)).strip()
