"""Reading mails from their bytes: real shapes, and what comes from hell."""

import email
import time
from email.message import EmailMessage

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.support.mail.files import Limits
from services.support.mail.parse import Mail, Unreadable, parse
from tests.kit.hell import READABLE, UNREADABLE, large
from tests.kit.mails import mails


def everything_of(mail: Mail) -> str:
    """All the words that would be stored."""
    words = [mail.from_address, mail.from_name, mail.subject, mail.message_id, mail.in_reply_to, mail.text, mail.html]
    words += [*mail.references, *mail.recipients, *mail.sent_to, *mail.reply_to]
    return "".join([*words, *(file.name + file.content_type for file in mail.files)])


def require_storable(mail: Mail) -> None:
    """PostgreSQL takes neither NUL nor half characters, and one line is one line."""
    words = everything_of(mail)
    words.encode("utf-8")
    assert "\0" not in words
    assert "\n" not in mail.subject + mail.from_name + mail.message_id


@pytest.mark.parametrize("name", READABLE)
def test_what_can_be_read_somehow_is_read(name: str) -> None:
    raw, said = READABLE[name]
    mail = parse(raw)
    assert said in mail.text
    require_storable(mail)


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_would_take_the_machine_down_says_so(name: str) -> None:
    begin = time.process_time()
    with pytest.raises(Unreadable):
        parse(UNREADABLE[name])
    assert time.process_time() - begin < 5


def test_a_mail_of_30_megabytes_is_read_with_its_file() -> None:
    mail = parse(large(22 * 1024 * 1024))
    (film,) = mail.files
    assert (mail.text, film.name, film.size) == ("See the film", "film.mp4", 22 * 1024 * 1024)
    assert film.content == bytes(range(256)) * (22 * 1024 * 4)


def test_mails_of_all_shapes_say_the_same_as_to_the_standard_library() -> None:
    for raw in mails(300, seed=7):
        mail, known = parse(raw), email.message_from_bytes(raw, policy=email.policy.default)
        assert isinstance(known, EmailMessage)
        body = known.get_body(("plain",))
        assert body is not None
        assert mail.text == body.get_content().rstrip()
        assert mail.subject == known["subject"]
        assert mail.message_id == known["message-id"]
        assert mail.references == tuple(filter(None, [known["references"]]))
        assert (mail.from_name, mail.from_address) == (
            known["from"].addresses[0].display_name,
            known["from"].addresses[0].addr_spec,
        )
        files = [(part.get_filename(), part.get_content()) for part in known.iter_attachments()]
        assert [(file.name, file.content) for file in mail.files] == files


def test_at_most_a_hundred_recipients_are_taken_for_participants() -> None:
    mail = parse(READABLE["ten thousand recipients"][0])
    assert len(mail.recipients) <= 101
    assert len(mail.sent_to) == 10_001


def test_a_mail_without_text_has_that_of_its_html() -> None:
    mail = parse(b"Content-Type: text/html; charset=utf-8\n\n<p>Kaixo,<br>non dago?</p><script>x()</script>")
    assert mail.text == "Kaixo,\nnon dago?"
    assert "script" not in mail.html


def test_a_name_split_in_the_middle_of_a_character_is_whole_again() -> None:
    mail = parse(b"Subject: =?utf-8?b?R3LDtsM=?= =?utf-8?b?n2U=?=\n\n")
    assert mail.subject == "Größe"


def test_a_forged_sender_in_the_display_name_is_no_address() -> None:
    mail = parse(b'From: "victim@shop.example" <evil@other.example>\n\n')
    assert mail.from_address == "evil@other.example"


def test_the_names_of_files_are_safe_everywhere() -> None:
    names = [file.name for file in parse(READABLE["names of folders"][0]).files]
    assert names == ["passwd"]
    mail = parse(
        b"Content-Type: multipart/mixed; boundary=b\n\n"
        b"--b\nContent-Type: application/pdf\nContent-Disposition: attachment; filename=CON.pdf\n\n\n"
        b"--b\nContent-Type: application/pdf\nContent-Disposition: attachment\n\n\n"
        b"--b\nContent-Type: image/png; name*=utf-8''Pr%C3%BCfung.png\n\n\n"
        b'--b\nContent-Type: text/csv; name="=?utf-8?q?M=C3=BCller=2Ecsv?="\n\n\n--b--'
    )
    assert [file.name for file in mail.files] == ["_CON.pdf", "attachment.pdf", "Prüfung.png", "Müller.csv"]


def test_a_file_beyond_the_limits_is_named_with_the_reason() -> None:
    part = b"--b\nContent-Type: application/pdf; name=%d.pdf\n\n%s\n"
    raw = (
        b"Content-Type: multipart/mixed; boundary=b\n\n"
        + b"".join(part % (n, b"x" * 2**n) for n in range(9))
        + b"--b--"
    )
    files = parse(raw, Limits(files=8, file_bytes=100, all_bytes=60)).files
    assert [(file.name, file.size, bool(file.content), file.refused_reason[:10]) for file in files[4:]] == [
        ("4.pdf", 16, True, ""),
        ("5.pdf", 32, False, "together t"),
        ("6.pdf", 64, False, "together t"),
        ("7.pdf", 128, False, "is larger "),
        ("1 more", 0, False, "a message "),
    ]


def test_a_mail_inside_the_mail_is_a_file() -> None:
    mail = parse(
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nSee below\n"
        b"--b\nContent-Type: message/rfc822\n\nSubject: Old\n\nHi\n--b--"
    )
    assert mail.text == "See below"
    assert [(file.name, file.content) for file in mail.files] == [("attachment.eml", b"Subject: Old\n\nHi")]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=2_000))
@example(b"Content-Type: multipart/mixed; boundary=\n\n--\n")
@example(b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n!!")
def test_random_bytes_are_a_mail_of_some_sort(raw: bytes) -> None:
    require_storable(parse(raw))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_mail_is_still_read(data: st.DataObject) -> None:
    raw = bytearray(data.draw(st.sampled_from([raw for raw, _ in READABLE.values() if 0 < len(raw) < 5_000])))
    for _ in range(data.draw(st.integers(1, 10))):
        place = data.draw(st.integers(0, len(raw) - 1))
        raw[place : place + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=20)) or b"\0"
    require_storable(parse(bytes(raw)))
