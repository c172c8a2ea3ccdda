"""Who a campaign's messages come from: a mail address with or without a name, or a number or name for SMS."""

import re

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from chassis.errors import InvalidArgument
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL

# GSM 03.40 §9.1.2.5: an alphanumeric originator has up to 11 characters; networks want a letter among them.
_SMS_NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 ._-]{1,11}")
_SHORT_CODE = re.compile(r"[0-9]{3,8}")


def check_sender(channel: int, sender: str, reply_to: str) -> None:
    """Raise InvalidArgument for a sender or an answer address that the channel cannot have; empty ones are fine."""
    if channel == CHANNEL_EMAIL:
        _check_mailbox("campaign.sender", sender)
        _check_mailbox("campaign.reply_to", reply_to)
        return
    if sender and not (_SMS_NAME.fullmatch(sender) or _SHORT_CODE.fullmatch(sender) or _is_number(sender)):
        description = "write a number as +34944000000, a short code, or a name of up to 11 letters and digits"
        raise InvalidArgument("campaign.sender", description)
    if reply_to:
        raise InvalidArgument("campaign.reply_to", "an SMS has no reply address; leave it empty")


def _check_mailbox(field: str, mailbox: str) -> None:
    if not mailbox:
        return
    try:
        validate_email(mailbox, check_deliverability=False, allow_display_name=True)
    except EmailNotValidError as error:
        raise InvalidArgument(field, f"write it as `Shop <news@shop.example>`: {error}") from None


def _is_number(sender: str) -> bool:
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(sender))
    except phonenumbers.NumberParseException:
        return False
