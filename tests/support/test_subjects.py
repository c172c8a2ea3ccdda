"""Subjects of one matter have one key, in whatever language the mail program answers."""

import pytest

from services.support import subjects


@pytest.mark.parametrize(
    "subject",
    [
        "Where is my parcel?",
        "Re: Where is my parcel?",
        "RE: AW: Where is my parcel?",
        "Re[2]: Where is my parcel? [#4711]",
        "Sv: Rv: where  is my\tparcel?",
        "回复：Where is my parcel?",  # noqa: RUF001  # the colon of Chinese programs
    ],
)
def test_prefixes_case_and_spaces_do_not_make_another_matter(subject: str) -> None:
    assert subjects.key_of(subject) == "where is my parcel?"


@pytest.mark.parametrize("subject", ["Report: October", "Recent orders", "I: am here", "Fire!"])
def test_a_word_that_is_no_prefix_stays(subject: str) -> None:
    assert subjects.matter(subject) in (subject, "am here")


def test_an_answers_subject_names_the_ticket_once() -> None:
    assert subjects.answering("Re: Where? [#4711]", 4711) == "Re: Where? [#4711]"
    assert subjects.answering("", 7) == "Re: [#7]"


def test_a_subject_is_kept_on_one_line_and_short() -> None:
    assert subjects.tidy("a\r\nBcc: everybody@shop.example\0") == "a Bcc: everybody@shop.example"
    assert len(subjects.tidy("x" * 5000)) == subjects.MOST_CHARACTERS
