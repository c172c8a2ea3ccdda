import re
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notifications import mime
from services.notifications.quoted import quoted_piece, quoted_printable
from services.notifications.templates import fragments, liquid
from services.notifications.templates.versions import parsed

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=300)
WORDS = st.text(st.characters(codec="utf-8"), max_size=200)
FORM = mime.form(
    "Denda, la tienda de Añorga <news@shop.example>", "help@shop.example", {"List-Id": "x <a.shop.example>"}
)


def a_letter(subject: str = "News", text: str = "Kaixo", html: str | None = "<p>Kaixo</p>") -> mime.Letter:
    return mime.Letter(
        address="ane@customer.example",
        subject=subject,
        text=quoted_printable(text),
        html=None if html is None else quoted_printable(html),
        reference=mime.message_id_header(uuid4(), "shop.example"),
        date=mime.date_header(datetime(2026, 3, 1, 9, 30, tzinfo=UTC)),
        more=b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
    )


def read(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    assert not message.defects
    for line in raw.split(b"\r\n"):
        assert len(line) <= 998
        assert b"\n" not in line
        assert b"\r" not in line
    return message


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    assert not part.defects
    content = part.get_content()
    assert isinstance(content, str)
    return content.replace("\r\n", "\n")


@settings(deadline=None)
@given(WORDS, TEXTS, TEXTS)
def test_a_mail_is_read_as_it_was_written(subject: str, text: str, html: str) -> None:
    message = read(FORM.fill(a_letter(subject, text, html)))
    assert message["subject"].split() == mime.one_line(subject).split()
    assert body(message, "plain").rstrip("\n") == text.rstrip("\n")
    assert body(message, "html").rstrip("\n") == html.rstrip("\n")


@settings(deadline=None)
@given(WORDS, WORDS)
def test_no_subject_and_no_name_can_add_a_header(subject: str, name: str) -> None:
    names = ["from", "mime-version", "to", "subject", "message-id", "date", "list-unsubscribe-post", "content-type"]
    form = mime.form(f'"{mime.one_line(name).replace(chr(34), "")}" <news@shop.example>', "", {})
    message = read(form.fill(a_letter(f"{subject}\r\nBcc: all@customer.example", "x", "y")))
    assert [key.lower() for key in message] == names


def test_headers_say_who_writes_and_how_to_leave() -> None:
    message = read(FORM.fill(a_letter("Zerbitzua: ñandú")))
    sender = message["from"].addresses[0]
    assert (sender.display_name, sender.addr_spec) == ("Denda, la tienda de Añorga", "news@shop.example")
    assert message["reply-to"].addresses[0].addr_spec == "help@shop.example"
    assert message["to"].addresses[0].addr_spec == "ane@customer.example"
    assert message["subject"] == "Zerbitzua: ñandú"
    assert message["date"].datetime == datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    assert message["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


def test_a_mail_in_plain_text_has_one_part() -> None:
    message = read(FORM.fill(a_letter(html=None)))
    assert message.get_content_type() == "text/plain"
    assert body(message, "plain") == "Kaixo\n"


@pytest.mark.parametrize(
    "address",
    [
        "a@b.example\r\nBcc: c@d.example",
        "a b@c.example",
        "a@b@c.example",
        "<a@b.example>",
        "a",
        "",
        "a@b.example,c@d.example",
    ],
)
def test_an_address_that_cannot_stand_in_a_header_is_refused(address: str) -> None:
    with pytest.raises(mime.UnusableAddress):
        FORM.fill(a_letter()._replace(address=address))


def test_a_domain_beyond_ascii_is_written_as_dns_knows_it() -> None:
    message = read(FORM.fill(a_letter()._replace(address="ane@etxebizitza-ñ.example")))
    assert message["to"].addresses[0].domain == "etxebizitza-ñ.example".encode("idna").decode()


def test_only_our_own_message_ids_name_messages() -> None:
    message_id = uuid4()
    header = mime.message_id_header(message_id, "shop.example")
    assert mime.message_of(header) == message_id
    assert mime.message_of(header.replace(".", ".0", 1)) is None
    assert mime.message_of(f"<{message_id.hex}@shop.example>") is None
    assert mime.message_of("<anything>") is None


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=8))
def test_encoded_pieces_join_to_the_whole(pieces: list[str]) -> None:
    joined = b"".join(quoted_piece(piece) for piece in pieces)
    assert all(len(line) <= 76 for line in joined.split(b"\r\n"))
    raw = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + joined
    content = read(raw).get_content()
    assert content.replace("\r\n", "\n") == "".join(pieces)


TEMPLATES = [
    "Hi {{ a }}, {{ b | default: 'x & y <z>' }}.",
    "{% if a %}one {{ a }}\n two{% else %}none{% endif %} {{ c | default: '' }}\n",
    "{% if b %}{% if a %}{{ a }}{% endif %}!{% endif %}",
    "{{ 'literal <b>' }}{{ a }}{{ b }}",
    "{% if a >= 3 %}{{ b }}{% elsif a < -1.5 %}{{ c }}{% elsif c <= 0 %}!{% else %}{{ a | default: 'd' }}{% endif %}.",
    "{% if a > 3 %}big{% elsif b contains 'x' %}{{ b | upcase }}{% else %}{{ c.d | default: 1 }}{% endif %} {{ a }}",
    "{% for x in c %}{{ x }},{% endfor %}{{ a | upcase }}",
]
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS, st.lists(TEXTS, max_size=3)
)


@pytest.mark.parametrize("source", TEMPLATES)
@settings(deadline=None)
@given(fields=st.dictionaries(st.sampled_from(["a", "b", "c"]), VALUES))
def test_templates_taken_apart_give_what_liquid_gives(source: str, fields: dict[str, object]) -> None:
    variant = parsed("en", source, source, source)
    try:
        expected = variant.render(fields)
    except liquid.RenderError as refused:
        with pytest.raises(type(refused), match=re.escape(str(refused))):
            variant.encode(fields)
        return
    encoded = variant.encode(fields)
    assert encoded.subject == expected.subject
    raw = FORM.fill(a_letter()._replace(text=encoded.text, html=encoded.html))
    message = read(raw)
    assert body(message, "plain").rstrip("\n") == expected.text.rstrip("\n")
    assert body(message, "html").rstrip("\n") == expected.html.rstrip("\n")


def test_simple_templates_are_taken_apart_and_others_are_not() -> None:
    taken = [fragments.taken_apart(liquid.parse(source, liquid.HTML), str.encode) for source in TEMPLATES]
    assert [pieces is not None for pieces in taken] == [True, True, True, True, True, True, False]
