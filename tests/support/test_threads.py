"""Signed addresses, Message-IDs and marks lead to their ticket, and nothing else does."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.support import threads


@given(st.uuids())
def test_a_reply_address_leads_to_its_ticket_whatever_case_it_comes_back_in(ticket_id: UUID) -> None:
    address = threads.reply_address(ticket_id)
    assert threads.ticket_of_address(address) == ticket_id
    assert threads.ticket_of_address(address.upper()) == ticket_id
    assert threads.ticket_of_address(f"Support <{address}>") == ticket_id
    assert len(address.partition("@")[0]) <= 64


@given(st.uuids(), st.uuids())
def test_a_message_id_names_the_answer_and_its_ticket(message_id: UUID, ticket_id: UUID) -> None:
    header = threads.message_id_header(message_id, ticket_id)
    assert threads.ticket_of_message_id(header) == ticket_id
    assert threads.message_of_message_id(header) == message_id


@given(st.uuids(), st.data())
def test_an_address_that_was_changed_leads_nowhere(ticket_id: UUID, data: st.DataObject) -> None:
    local, _, domain = threads.reply_address(ticket_id).partition("@")
    place = data.draw(st.integers(len("reply+"), len(local) - 2))
    letter = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz234567").filter(lambda it: it != local[place]))
    assert threads.ticket_of_address(f"{local[:place]}{letter}{local[place + 1 :]}@{domain}") is None


@given(st.text())
def test_what_somebody_made_up_leads_nowhere(text: str) -> None:
    assert threads.ticket_of_address(text) is None
    assert threads.ticket_of_message_id(text) is None
    assert threads.ticket_of_body(text) is None
    assert threads.message_of_message_id(text) is None


def test_a_mark_is_found_in_a_quotation_and_a_token_of_another_purpose_is_none() -> None:
    ticket_id = uuid4()
    assert threads.ticket_of_body(f"> It is on its way.\n> {threads.body_mark(ticket_id)}\n") == ticket_id
    token = threads.reply_address(ticket_id).partition("+")[2].partition("@")[0]
    assert threads.ticket_of_body(f"[ref:{token}]") is None


@pytest.mark.parametrize(
    ("subject", "number"),
    [("Re: Parcel [#4711]", 4711), ("[#12] x", 12), ("Parcel #4711", None), ("[#" + "9" * 30 + "]", None)],
)
def test_a_subject_speaks_of_a_number(subject: str, number: int | None) -> None:
    assert threads.number_in(subject) == number
