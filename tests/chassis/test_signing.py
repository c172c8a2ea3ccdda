"""A token comes back unchanged, for the purpose it was made for, or not at all."""

import string
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.errors import InvalidArgument
from chassis.settings import settings
from chassis.signing import sign, verify


@given(st.binary(max_size=100))
def test_a_payload_comes_back(payload: bytes) -> None:
    assert verify("link", sign("link", payload)) == payload


def test_a_token_is_safe_in_urls_and_addresses() -> None:
    token = sign("link", bytes(range(256)))
    assert set(token) <= {*string.ascii_letters, *string.digits, "-", "_"}
    assert len(sign("reply", bytes(16))) == 43


def test_every_changed_character_is_noticed() -> None:
    token = sign("link", b"campaign 7")
    for place, character in enumerate(token):
        for other in "AB_-9é=":
            if other != character:
                with pytest.raises(InvalidArgument, match="not a token of this installation"):
                    verify("link", token[:place] + other + token[place + 1 :])


@pytest.mark.parametrize("token", ["", "A", "AAAA", "x" * 1000, "not base64!", "\ud800", "ñ", "A" * 22])
def test_garbage_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument, match="code: "):
        verify("link", token, field="code")


@pytest.mark.parametrize("change", [lambda token: token[:-1], lambda token: token + "A", lambda token: token + "="])
def test_a_shorter_or_longer_token_is_refused(change: Callable[[str], str]) -> None:
    with pytest.raises(InvalidArgument):
        verify("link", change(sign("link", b"campaign 7")))


def test_a_token_of_one_purpose_is_worth_nothing_for_another() -> None:
    with pytest.raises(InvalidArgument):
        verify("unsubscribe", sign("open", b"message 1"))


def test_a_token_of_another_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    token = sign("link", b"campaign 7")
    monkeypatch.setenv("DENDA_SECRET_KEY", "another key")
    settings.cache_clear()
    with pytest.raises(InvalidArgument):
        verify("link", token)


def test_nothing_is_signed_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DENDA_SECRET_KEY", "")
    settings.cache_clear()
    with pytest.raises(RuntimeError, match="DENDA_SECRET_KEY"):
        sign("link", b"")
