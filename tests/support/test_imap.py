"""A mailbox elsewhere: each mail is fetched once, kept first, and only then is the mailbox changed."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import select

from chassis.errors import Unavailable
from services.support import imap, inbound
from services.support.models import InboundMail, database
from services.support.settings import settings
from services.support.states import InboundState
from tests.kit.dovecot import USER, Dovecot, mail_server


@pytest.fixture
def server() -> Iterator[Dovecot]:
    """An IMAP server with an empty mailbox."""
    with mail_server() as running:
        yield running


@pytest.fixture
def poll(server: Dovecot, migrated: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`poll(done="Archive")` fetches what there is."""
    migrated("support")

    def fetch(done: str = "") -> None:
        monkeypatch.setenv("DENDA_IMAP_URL", server.url)
        monkeypatch.setenv("DENDA_IMAP_DONE", done)
        settings.cache_clear()
        while imap.fetch():
            pass

    return fetch


def a_mail(number: int) -> bytes:
    return b"From: ane@shop.example\r\nMessage-ID: <%d@mail.example>\r\n\r\nMail %d\r\n" % (number, number)


def kept() -> list[InboundMail]:
    with database.transaction() as session:
        return list(session.scalars(select(InboundMail).order_by(InboundMail.mailbox_key)))


def raws() -> list[bytes]:
    with database.transaction() as session:
        return list(session.scalars(select(InboundMail.raw).order_by(InboundMail.mailbox_key)))


def test_mails_are_fetched_once_and_marked_as_seen(server: Dovecot, poll: Callable[..., None]) -> None:
    server.deliver(a_mail(1), a_mail(2))
    poll()
    server.deliver(a_mail(3))
    poll()
    poll()
    assert raws() == [a_mail(1), a_mail(2), a_mail(3)]
    assert [(mail.source, mail.mailbox) for mail in kept()] == [("imap", f"{USER}@127.0.0.1/INBOX")] * 3
    assert server.flags() == ["\\Seen"] * 3


def test_a_mail_that_somebody_has_looked_at_is_fetched_all_the_same(server: Dovecot, poll: Callable[..., None]) -> None:
    server.deliver(a_mail(1))
    with server.logged_in() as connection:
        connection.store("1", "+FLAGS", "\\Seen")
    poll()
    assert raws() == [a_mail(1)]


def test_mails_are_moved_when_they_are_kept(server: Dovecot, poll: Callable[..., None]) -> None:
    with server.logged_in() as connection:
        connection.create("Done")
    server.deliver(a_mail(1), a_mail(2))
    poll(done="Done")
    assert (len(server.flags()), len(server.flags("Done"))) == (0, 2)
    assert raws() == [a_mail(1), a_mail(2)]


def test_a_mail_stays_unchanged_in_the_mailbox_until_it_is_kept(
    server: Dovecot, poll: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.deliver(a_mail(1), a_mail(2), a_mail(3))
    keep = inbound.keep

    def fail_at_the_second(*arguments: object) -> object:
        if b"Mail 2" in arguments[1].raw:  # type: ignore[attr-defined]
            raise OSError("the disk is full")
        return keep(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(inbound, "keep", fail_at_the_second)
    with pytest.raises(Unavailable, match="disk"):
        poll()
    assert raws() == [a_mail(1)]
    assert server.flags() == ["\\Seen", "", ""]
    monkeypatch.setattr(inbound, "keep", keep)
    poll()
    assert raws() == [a_mail(1), a_mail(2), a_mail(3)]


def test_a_mail_kept_before_a_crash_is_moved_afterwards_and_not_kept_twice(
    server: Dovecot, poll: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.logged_in() as connection:
        connection.create("Done")
    server.deliver(a_mail(1))
    put_away = imap.Mailbox.put_away

    def die(*_: object) -> None:
        raise OSError("gone")

    monkeypatch.setattr(imap.Mailbox, "put_away", die)
    with pytest.raises(Unavailable):
        poll(done="Done")
    monkeypatch.setattr(imap.Mailbox, "put_away", put_away)
    poll(done="Done")
    assert (raws(), len(server.flags()), len(server.flags("Done"))) == ([a_mail(1)], 0, 1)


def test_a_mailbox_that_was_made_anew_is_read_anew_and_gives_no_second_copy(
    server: Dovecot, poll: Callable[..., None]
) -> None:
    server.deliver(a_mail(1))
    poll()
    with server.logged_in() as connection:
        connection.create("Elsewhere")
        connection.copy("1", "Elsewhere")
        connection.store("1", "+FLAGS", "\\Deleted")
        connection.expunge()
    before = {mail.mailbox_key.partition(".")[0] for mail in kept()}
    with database.transaction() as session:
        for mail in session.scalars(select(InboundMail)):
            mail.mailbox_key = mail.mailbox_key.replace(mail.mailbox_key.partition(".")[0], "0000000001")
    server.deliver(a_mail(1), a_mail(2))
    poll()
    states = [(mail.mailbox_key.partition(".")[0] in before, InboundState(mail.state)) for mail in kept()]
    assert states == [(False, InboundState.RECEIVED), (True, InboundState.DUPLICATE), (True, InboundState.RECEIVED)]


def test_a_mail_that_is_too_large_stays_and_is_known_of(
    server: Dovecot, poll: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap, "MOST_BYTES", 500)
    server.deliver(a_mail(1) + b"x" * 1_000, a_mail(2))
    poll()
    poll()
    assert [(InboundState(mail.state), bool(mail.detail)) for mail in kept()] == [
        (InboundState.QUARANTINED, True),
        (InboundState.RECEIVED, False),
    ]
    assert server.flags() == ["", "\\Seen"]


def test_a_server_that_is_away_is_named_without_the_password(
    migrated: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    migrated("support")
    monkeypatch.setenv("DENDA_IMAP_URL", "imap://user:geheim@127.0.0.1:1/INBOX")
    settings.cache_clear()
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1") as raised:
        imap.fetch()
    assert "geheim" not in str(raised.value)
