"""From a claimed message to a parcel: rendered in the recipient's language, with tracked links and a way out.

A campaign's mail carries List-Unsubscribe for one click (RFC 8058), List-Id (RFC 2919) and Feedback-ID.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any
from uuid import UUID

from liquid import Markup
from sqlalchemy import Row

from chassis.signing import sign
from services import public_url
from services.notifications import content, mime
from services.notifications.models import Mailing, database
from services.notifications.providers import Parcel
from services.notifications.quoted import quoted_printable
from services.notifications.settings import settings
from services.notifications.states import Channel
from services.notifications.templates.liquid import INTERNAL
from services.notifications.templates.versions import Rendered, Variant, Version, version_of

PIXEL = '<img src="%s" width="1" height="1" alt="" style="display:block;border:0">'
# RFC 8058 §3.1: one address, and the promise that a POST to it is enough.
ONE_CLICK = b"List-Unsubscribe: <%s>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"


@dataclass(frozen=True, eq=False)
class Stationery:
    """A mailing with its template, where it has one, and how its mails begin."""

    mailing: Mailing
    version: Version | None
    sender: str
    form: mime.Form | None
    plain_links: dict[str, Any]

    @cached_property
    def channel(self) -> Channel:
        """The channel of the mailing."""
        return Channel(self.mailing.channel)


@lru_cache(maxsize=256)
def stationery_of(mailing_id: UUID) -> Stationery:
    """The stationery of a mailing, read in a transaction of its own the first time."""
    with database.transaction() as session:
        mailing = session.get_one(Mailing, mailing_id)
    channel = Channel(mailing.channel)
    sender = mailing.sender or default_sender(channel)
    form = None
    if channel == Channel.EMAIL:
        form = mime.form(sender, mailing.reply_to, _list_headers(mailing, sender))
    version = version_of(mailing.template_id, mailing.template_version) if mailing.template_id else None
    links = version.links if version else ()
    plain_links = {f"{INTERNAL}link_{number}": url for number, url in enumerate(links)} | {f"{INTERNAL}pixel": ""}
    return Stationery(mailing, version, sender, form, plain_links)


def default_sender(channel: Channel) -> str:
    """Who messages are from that name nobody."""
    chosen = settings()
    return {
        Channel.EMAIL: chosen.email_sender,
        Channel.SMS: chosen.sms_sender,
        Channel.VOICE: chosen.voice_sender,
    }[channel]


def write(row: Row[Any], moment: datetime, *, whole: bool = True) -> Parcel:
    """The parcel of a claimed message; its text and HTML apart from the mail only where the `whole` is wanted.

    Raises RenderError, and UnusableAddress for what cannot stand in a header.
    """
    paper = stationery_of(row.mailing_id)
    if paper.version is None:
        return _as_written(paper, row, moment)
    variant = paper.version.in_language(row.language)
    ways_out = _ways_out(paper.mailing, row)
    fields = row.merge_fields | _tracked(paper, row, variant, len(paper.version.links)) | ways_out
    if paper.form is None:
        text = variant.text.rendered(fields).strip()
        return Parcel(row.id, paper.channel, row.address, paper.sender, "", text, "", str(row.id))
    encoded = variant.encode(fields)
    reference = mime.message_id_header(row.id, paper.form.domain)
    letter = mime.Letter(
        address=row.address,
        subject=encoded.subject,
        text=encoded.text,
        html=encoded.html,
        reference=reference,
        date=mime.date_header(moment),
        more=ONE_CLICK % ways_out["unsubscribe_url"].encode() if ways_out else b"",
    )
    shown = variant.render(fields) if whole else Rendered("", "", "")
    return _mail(row, paper.form, letter, shown.text, shown.html)


def _as_written(paper: Stationery, row: Row[Any], moment: datetime) -> Parcel:
    """The parcel of a message that somebody wrote by hand: nothing in it is filled in."""
    kept = row.content
    if paper.form is None:
        return Parcel(row.id, paper.channel, row.address, paper.sender, "", kept["text"], "", str(row.id))
    letter = mime.Letter(
        address=row.address,
        subject=" ".join(kept["subject"].split()),
        text=quoted_printable(kept["text"]),
        html=quoted_printable(kept["html"]) if kept["html"] else None,
        reference=row.message_id_header or mime.message_id_header(row.id, paper.form.domain),
        date=mime.date_header(moment),
        more=content.thread_headers(kept),
    )
    return _mail(row, paper.form, letter, kept["text"], kept["html"])


def _mail(row: Row[Any], form: mime.Form, letter: mime.Letter, text: str, html: str) -> Parcel:
    """The parcel of a mail."""
    return Parcel(
        message_id=row.id,
        channel=Channel.EMAIL,
        address=row.address if row.address.isascii() else mime.ascii_domain(row.address),
        sender=form.sender,
        subject=letter.subject,
        text=text,
        html=html,
        reference=letter.reference,
        raw=form.fill(letter),
        utf8=not (row.address.isascii() or row.address.rpartition("@")[0].isascii()),
    )


def _tracked(paper: Stationery, row: Row[Any], variant: Variant, links: int) -> dict[str, Any]:
    """The so many links and the pixel of one message; the plain links where it is not tracked."""
    if not paper.mailing.track:
        return paper.plain_links
    base, name = public_url(), row.id.bytes
    found: dict[str, Any] = {
        f"{INTERNAL}link_{number}": f"{base}/l/{sign('link', name + number.to_bytes(2, 'big'))}"
        for number in range(links)
    }
    pixel = Markup(PIXEL % f"{base}/o/{sign('open', name)}.gif") if variant.html else ""
    found[f"{INTERNAL}pixel"] = pixel
    return found


def _ways_out(mailing: Mailing, row: Row[Any]) -> dict[str, str]:
    """Where the recipient of a campaign can leave; nothing for a transactional message."""
    if not (row.person_id and mailing.campaign_id):
        return {}
    payload = row.person_id.bytes + row.id.bytes + bytes([mailing.channel]) + mailing.purpose.encode()
    base, token = public_url(), sign("unsubscribe", payload)
    return {"unsubscribe_url": f"{base}/u/{token}", "preferences_url": f"{base}/p/{token}"}


def _list_headers(mailing: Mailing, sender: str) -> dict[str, str]:
    """What tells receivers that a mail is one of a campaign, and of which, or that a machine sent it (RFC 3834).

    Nothing for a mail that somebody wrote.
    """
    if mailing.campaign_id is None or mailing.template_id is None:
        return {"Auto-Submitted": "auto-generated"} if mailing.template_id else {}
    domain = mime.form(sender, "", {}).domain
    purpose = mailing.purpose or "marketing"
    return {
        "List-Id": f"{mime.phrase(mailing.campaign_name)} <{purpose}.{domain}>",
        # Gmail's form: campaign, customer, kind of mail, sender.
        "Feedback-ID": f"{mailing.campaign_id.hex}:{mailing.template_id.hex}:{purpose}:denda",
    }
