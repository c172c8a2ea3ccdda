"""The one spelling of addresses and texts: the short ways say what the libraries say."""

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.contacts import addresses, texts

LABELS = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789-", min_size=1, max_size=70)
DOMAINS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
LOCAL_PARTS = st.text("abzAZ09._+-!'@ \u00f1\u00e9\"(", min_size=0, max_size=70)
COUNTRY_CODES = sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)


def outcome(function: object, *arguments: str) -> str:
    assert callable(function)
    try:
        return str(function(*arguments))
    except ValueError:
        return "refused"


@given(LOCAL_PARTS, DOMAINS | st.sampled_from(["shop.example", "x.test", "localhost", "a.local", "xn--caf-dma.com"]))
@example("a", "b" * 63 + ".com")
@example("a" * 64, "shop.example")
@example("a" * 65, "shop.example")
@example("a", ".".join(["b" * 60] * 4))
@example("a", "127.0.0.1")
def test_the_short_way_for_emails_says_what_the_library_says(local: str, domain: str) -> None:
    value = f"{local}@{domain}"
    assert outcome(addresses.normalised_email, value) == outcome(addresses._validated_email, value.strip())


def by_library(value: str) -> str:
    number = phonenumbers.parse(value)
    if not phonenumbers.is_possible_number(number):
        raise ValueError(value)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def library_outcome(value: str) -> str:
    try:
        return by_library(value)
    except (ValueError, phonenumbers.NumberParseException):
        return "refused"


@given(st.sampled_from(COUNTRY_CODES), st.text("0123456789", min_size=3, max_size=13))
@example(1, "12025550143")
@example(44, "02079460958")
@example(39, "0612345678")
@example(52, "15512345678")
@example(54, "91123456789")
@example(55, "01511912345678")
@example(34, "944000000")
@example(1, "5550100")
def test_the_short_way_for_phone_numbers_says_what_the_library_says(code: int, national: str) -> None:
    value = f"+{code}{national}"
    assert outcome(addresses.normalised_phone, value) == library_outcome(value)


@given(st.text(max_size=60))
def test_no_text_at_all_breaks_the_normalisation(text: str) -> None:
    for function in (addresses.normalised_email, addresses.normalised_phone, texts.language, texts.time_zone):
        once = outcome(function, text)
        assert once in {"refused", ""} or outcome(function, once) == once


@pytest.mark.parametrize(
    ("given_tag", "kept"),
    [
        ("eu", "eu"),
        ("ES_es", "es-ES"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("es-419", "es-419"),
        ("", ""),
        ("ca-VALENCIA", "ca-valencia"),
    ],
)
def test_languages_have_one_spelling(given_tag: str, kept: str) -> None:
    assert texts.language(given_tag) == kept


@pytest.mark.parametrize("wrong", ["english", "xx", "e", "es-ESP", "es--ES", "eu,es", "e\0"])
def test_what_is_no_language_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"not a language tag|NUL"):
        texts.language(wrong)


def test_a_wrong_time_zone_is_answered_with_a_close_one() -> None:
    with pytest.raises(ValueError, match="did you mean `Europe/Madrid`"):
        texts.time_zone("Europe/Madridd")


@pytest.mark.parametrize(
    ("value", "region", "kept"),
    [
        ("944 000 000", "ES", "+34944000000"),
        ("0034944000000", "ES", "+34944000000"),
        ("(202) 555-0143", "US", "+12025550143"),
    ],
)
def test_numbers_without_a_country_code_are_from_the_region(value: str, region: str, kept: str) -> None:
    assert addresses.normalised_phone(value, region) == kept


@pytest.mark.parametrize(
    "wrong", ["944000000", "+34 600 000 000 ext 5", "+999123456", "", "+", "call me", f"+34{'9' * 20}"]
)
def test_what_is_no_phone_number_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"phone number|extension"):
        addresses.normalised_phone(wrong)
