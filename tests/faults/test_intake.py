"""Mail that comes in while the edge and support are killed: what was acknowledged is there, once."""

import email
import random
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.faults.conftest import LONG
from tests.kit.dovecot import Dovecot, mail_server
from tests.kit.events import eventually
from tests.kit.mails import SUPPORT, mails
from tests.kit.world import World

MAILS = 2_000 if LONG else 200
KILLS = 12 if LONG else 3
SENDERS = 4
SMTP_IN = 7125
PATIENCE = 180
SEED = random.randrange(10**6)


@pytest.mark.timeout(900 if LONG else 300)
def test_each_mail_that_was_acknowledged_is_there_once(machine: World, mailbox: Dovecot) -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    raws = list(mails(MAILS, seed=SEED, senders=300))
    by_imap, by_smtp = raws[: MAILS // 2], raws[MAILS // 2 :]
    mailbox.deliver(*by_imap)
    acknowledged = [_name(raw) for raw in by_imap]
    senders = [
        threading.Thread(target=_send, args=(machine, by_smtp[start::SENDERS], acknowledged))
        for start in range(SENDERS)
    ]
    for sender in senders:
        sender.start()
    for kill in range(KILLS):
        time.sleep(chance.uniform(0.3, 2.0))
        _restart(machine, ("support", "gateway")[kill % 2])
    for sender in senders:
        sender.join(PATIENCE)
    assert len(acknowledged) == MAILS
    eventually(lambda: _taken_in(machine, set(acknowledged)).total() >= MAILS, PATIENCE)
    assert _taken_in(machine, set(acknowledged)) == Counter(dict.fromkeys(acknowledged, 1))


@pytest.fixture
def mailbox(machine: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dovecot]:
    """A mailbox that support polls from its next start on."""
    with mail_server() as server:
        with monkeypatch.context() as environment:
            environment.setenv("DENDA_IMAP_URL", server.url)
            yield server
        _restart(machine, "support")


def _restart(machine: World, victim: str) -> None:
    machine.installation.kill(victim)
    machine.installation.start(victim)
    machine.installation.wait_until_ready("support")


def _send(machine: World, raws: list[bytes], acknowledged: list[str]) -> None:
    """Hand over each mail as a mail server does: again and again until it is acknowledged."""
    port = SMTP_IN + machine.installation.port_offset
    until = time.monotonic() + PATIENCE
    for raw in raws:
        while time.monotonic() < until:
            try:
                with smtplib.SMTP("127.0.0.1", port, timeout=20) as server:
                    server.sendmail("customer@mail.example", [SUPPORT], raw)
            except (OSError, smtplib.SMTPException):
                time.sleep(0.2)
            else:
                acknowledged.append(_name(raw))
                break


def _name(raw: bytes) -> str:
    return str(email.message_from_bytes(raw)["Message-ID"])


def _taken_in(machine: World, message_ids: set[str]) -> Counter[str]:
    """How often each mail is in a ticket or in quarantine, when nothing waits to be read any more."""
    until = time.monotonic() + PATIENCE
    with machine.tables("support") as support:
        while support.execute("SELECT 1 FROM inbound_mail WHERE state = 1 LIMIT 1").fetchone():
            assert time.monotonic() < until, "mails wait to be read"
            time.sleep(0.2)
        in_tickets = support.execute("SELECT message_id_header FROM ticket_message WHERE inbound_id IS NOT NULL")
        counts = Counter(header for (header,) in in_tickets if header in message_ids)
        quarantined = support.execute("SELECT message_id_header FROM inbound_mail WHERE state = 3")
        return counts + Counter(header for (header,) in quarantined if header in message_ids)
