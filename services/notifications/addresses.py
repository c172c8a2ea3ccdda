"""Addresses as messages need them: valid, normalised, and in the form in which they are compared."""

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from chassis.errors import InvalidArgument
from services.notifications.states import Channel


def comparable(channel: Channel, address: str) -> str:
    """The form in which two spellings of one address are equal. Raises InvalidArgument for NUL, which nothing keeps."""
    if "\0" in address:
        raise InvalidArgument("address", "contains a NUL character")
    return address.strip().lower() if channel == Channel.EMAIL else address.strip().replace(" ", "")


def normalised(channel: Channel, address: str, field: str = "address") -> str:
    """The address as it is written to. Raises InvalidArgument for one that cannot be."""
    if channel == Channel.EMAIL:
        try:
            return validate_email(address.strip(), check_deliverability=False, test_environment=True).normalized
        except EmailNotValidError as error:
            raise InvalidArgument(field, f"cannot be an email address: {error}") from None
    try:
        number = phonenumbers.parse(address)
    except phonenumbers.NumberParseException:
        raise InvalidArgument(field, "cannot be a phone number: write it as +34944000000") from None
    if not phonenumbers.is_possible_number(number):
        raise InvalidArgument(field, "cannot be a phone number: its length does not fit the country")
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
