"""What the forms of visitors have in common: a token of the page, tidy fields, and what is wrong with them.

The token shows that a page of ours was open not long ago. With what was written it makes the request id, so that
sending the same twice does it once, and sending something else from the same page does that too.
"""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from unicodedata import category

from email_validator import EmailNotValidError, validate_email

from chassis.clock import now
from chassis.errors import InvalidArgument
from chassis.signing import sign, verify
from services.gateway.public.words import Notices

PURPOSE = "form"
# Far less than the time for which services remember request ids.
VALID = timedelta(days=1)
SUBJECT_CHARACTERS = 200
NAME_CHARACTERS = 100
# Whatever they are, and however the browser writes them, they fit into what the edge takes.
TEXT_CHARACTERS = 5000
# Control characters and halves of characters, as Unicode categorises them.
UNREADABLE = ("Cc", "Cs")


def new_token() -> str:
    """A token for a page that is shown now."""
    return sign(PURPOSE, int(now().timestamp()).to_bytes(8, "big") + secrets.token_bytes(8))


def is_fresh(token: str) -> bool:
    """Whether a page of ours with this token was opened within the last day."""
    try:
        opened = datetime.fromtimestamp(int.from_bytes(verify(PURPOSE, token)[:8], "big"), UTC)
    except InvalidArgument:
        return False
    return now() - VALID <= opened


def request_id(token: str, *written: str) -> str:
    """The same for the same page and words."""
    return hashlib.sha256("\0".join((token, *written)).encode()).hexdigest()


def one_line(value: str) -> str:
    """A field of one line: what could end a header becomes a space."""
    # Splitting takes the separators of lines and paragraphs for spaces.
    return " ".join("".join(" " if category(letter) in UNREADABLE else letter for letter in value).split())


def many_lines(value: str) -> str:
    """A field of many lines, without what can be neither read nor kept."""
    text = value.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(letter for letter in text if letter in "\n\t" or category(letter) not in UNREADABLE).strip()


def email_of(value: str) -> str:
    """An address in its usual spelling; empty for what is none."""
    try:
        return validate_email(value, check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError:
        return ""


def wrong_address(value: str, notices: Notices) -> str:
    """What is wrong with an address, or ""."""
    if not value:
        return notices.address_missing
    return "" if email_of(value) else notices.address_wrong


def wrong_text(value: str, notices: Notices) -> str:
    """What is wrong with a message, or ""."""
    if not value:
        return notices.text_missing
    too_long = len(value) > TEXT_CHARACTERS
    return notices.text_long.format(most=TEXT_CHARACTERS, number=len(value)) if too_long else ""
