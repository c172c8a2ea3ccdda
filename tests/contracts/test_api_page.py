"""docs/api.md says what the contracts say."""

from reference import PAGE, reference


def test_the_page_is_what_make_docs_would_write() -> None:
    assert PAGE.read_text() == reference(), "run `make docs`"
