"""From a claimed message to a parcel: rendered in the recipient's language, with tracked links and a way out.

A campaign's mail carries List-Unsubscribe for one click (RFC 8058), List-Id (RFC 2919) and Feedback-ID.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from html import escape
from typing import Any
from uuid import UUID

from liquid import Markup
from sqlalchemy import Row

from chassis.signing import sign
from services import public_url
from services.notifications import mime
from services.notifications.models import Mailing, database
from services.notifications.providers import Parcel
from services.notifications.settings import settings
from services.notifications.states import Channel
from services.notifications.templates.liquid import INTERNAL
from services.notifications.templates.versions import Variant, Version, version_of

PIXEL = '<img src="{url}" width="1" height="1" alt="" style="display:block;border:0">'


@dataclass(frozen=True, eq=False)
class Stationery:
    """A mailing with its template, and how its mails begin."""

    mailing: Mailing
    version: Version
    sender: str
    form: mime.Form | None

    @property
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
    return Stationery(mailing, version_of(mailing.template_id, mailing.template_version), sender, form)


def default_sender(channel: Channel) -> str:
    """Who messages are from that name nobody."""
    chosen = settings()
    return {
        Channel.EMAIL: chosen.email_sender,
        Channel.SMS: chosen.sms_sender,
        Channel.VOICE: chosen.voice_sender,
    }[channel]


def write(row: Row[Any], moment: datetime) -> Parcel:
    """The parcel of a claimed message. Raises RenderError, and UnusableAddress for what cannot stand in a header."""
    paper = stationery_of(row.mailing_id)
    variant = paper.version.in_language(row.language)
    links = _Links(paper, row)
    rendered = variant.render({**row.merge_fields, **links.fields(variant)})
    if paper.form is None:
        text = rendered.text.strip()
        return Parcel(row.id, paper.channel, row.address, paper.sender, "", text, "", str(row.id))
    reference = mime.message_id_header(row.id, paper.form.domain)
    letter = mime.Letter(
        address=row.address,
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        reference=reference,
        date=mime.date_header(moment),
        headers=links.headers(),
    )
    return Parcel(
        message_id=row.id,
        channel=paper.channel,
        address=row.address if row.address.isascii() else mime.ascii_domain(row.address),
        sender=paper.form.sender,
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        reference=reference,
        raw=paper.form.fill(letter),
        utf8=not row.address.rpartition("@")[0].isascii(),
    )


@dataclass(frozen=True)
class _Links:
    """The links of one message, signed where they come back to us."""

    paper: Stationery
    row: Row[Any]

    def fields(self, variant: Variant) -> Mapping[str, Any]:
        """What templates get beside the merge fields."""
        found: dict[str, Any] = {f"{INTERNAL}pixel": ""}
        for number, url in enumerate(self.paper.version.links):
            found[f"{INTERNAL}link_{number}"] = self._link(number) if self.paper.mailing.track else url
        if self.paper.mailing.track and variant.html:
            token = sign("open", self.row.id.bytes)
            found[f"{INTERNAL}pixel"] = Markup(PIXEL.format(url=escape(f"{public_url()}/o/{token}.gif")))
        if self.row.person_id and self.paper.mailing.campaign_id:
            token = self._unsubscribe_token()
            found["unsubscribe_url"] = f"{public_url()}/u/{token}"
            found["preferences_url"] = f"{public_url()}/p/{token}"
        return found

    def headers(self) -> Mapping[str, str]:
        """The headers of a mail to one person."""
        if not (self.row.person_id and self.paper.mailing.campaign_id):
            return {}
        return {
            "List-Unsubscribe": f"<{public_url()}/u/{self._unsubscribe_token()}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }

    def _link(self, number: int) -> str:
        return f"{public_url()}/l/{sign('link', self.row.id.bytes + number.to_bytes(2, 'big'))}"

    def _unsubscribe_token(self) -> str:
        mailing = self.paper.mailing
        payload = self.row.person_id.bytes + self.row.id.bytes + bytes([mailing.channel]) + mailing.purpose.encode()
        return sign("unsubscribe", payload)


def _list_headers(mailing: Mailing, sender: str) -> dict[str, str]:
    """What tells receivers that a mail is one of a campaign, and of which; nothing for a transactional one."""
    if mailing.campaign_id is None:
        return {}
    domain = mime.form(sender, "", {}).domain
    purpose = mailing.purpose or "marketing"
    return {
        "List-Id": f"{mime.phrase(mailing.campaign_name)} <{purpose}.{domain}>",
        # Gmail's form: campaign, customer, kind of mail, sender.
        "Feedback-ID": f"{mailing.campaign_id.hex}:{mailing.template_id.hex}:{purpose}:denda",
    }
