import json
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select
from structlog.testing import capture_logs

from denda.campaigns.v1.events_pb2 import RecipientsPlanned
from services.notifications.acceptance import Brief, Recipient, accept
from services.notifications.ledger import recovery, sending
from services.notifications.ledger.governor import Governor
from services.notifications.models import Message, Suppression, database
from services.notifications.providers import Answer, Parcel
from services.notifications.providers.smtp import Smtp
from services.notifications.settings import settings
from services.notifications.states import Channel, State
from tests.conftest import FrozenClock
from tests.kit.doors import Doors
from tests.kit.smtp import SmtpSink
from tests.notifications.things import a_plan, a_template, accepted, sent

Configure = Callable[..., Smtp]


@pytest.fixture
def smtp(smtp_sink: SmtpSink, monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    """`smtp(timeout="1")` is the provider against the sink, with these settings."""

    def configure(**changes: str) -> Smtp:
        chosen = {"host": smtp_sink.host, "port": str(smtp_sink.port), "security": "none", "timeout": "5"} | changes
        for name, value in chosen.items():
            monkeypatch.setenv(f"DENDA_SMTP_{name.upper()}", value)
        settings.cache_clear()
        return Smtp()

    yield configure
    settings.cache_clear()


@pytest.fixture
def sending_by_smtp(smtp: Configure, monkeypatch: pytest.MonkeyPatch) -> Smtp:
    """Email leaves by SMTP; no trouble pauses it for longer than the test wants."""
    provider = smtp()
    monkeypatch.setattr(sending, "provider_of", lambda channel: provider)
    patient = Governor()
    monkeypatch.setattr(patient, "is_paused", lambda provider: False)
    monkeypatch.setattr(sending, "governor", patient)
    return provider


def parcels(*addresses: str) -> list[Parcel]:
    return [a_parcel(address) for address in addresses]


def a_parcel(address: str) -> Parcel:
    name = uuid4()
    raw = f"To: {address}\r\nMessage-ID: <{name.hex}@shop.example>\r\nSubject: x\r\n\r\n.dot\r\n..\r\nend\r\n".encode()
    utf8 = not address.rpartition("@")[0].isascii()
    return Parcel(
        name, Channel.EMAIL, address, "news@shop.example", "x", "", "", f"<{name.hex}@shop.example>", raw, utf8
    )


def answers(provider: Smtp, sent_parcels: list[Parcel]) -> list[Answer]:
    return [outcome.answer for outcome in provider.send(sent_parcels)]


def states() -> dict[State, int]:
    with database.transaction() as session:
        rows = session.execute(select(Message.state, func.count()).group_by(Message.state)).all()
    return {State(state): count for state, count in rows}


def everyone(plan: RecipientsPlanned) -> list[str]:
    return [recipient.address for recipient in plan.recipients]


def test_mails_arrive_as_they_were_written_over_one_connection(smtp: Configure, smtp_sink: SmtpSink) -> None:
    smtp_sink.configure(keep=True)
    mails = parcels("a@b.example", "b@b.example", "c@b.example")
    provider = smtp()
    assert answers(provider, mails) == [Answer.TAKEN] * 3
    assert answers(provider, parcels("d@b.example")) == [Answer.TAKEN]
    assert smtp_sink.connections() == 1
    taken = smtp_sink.mails()[:3]
    assert [(mail.recipient, mail.message_id) for mail in taken] == [(each.address, each.reference) for each in mails]
    assert taken[0].text.replace("\r\n..", "\r\n.").endswith("\r\n\r\n.dot\r\n..\r\nend")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("550 5.1.1 no such user", Answer.BOUNCED),
        ("550 no such user", Answer.BOUNCED),
        ("550 5.2.1 mailbox closed", Answer.BOUNCED),
        ("550 5.7.1 your kind is not wanted", Answer.REFUSED),
        ("550 5.1.8 bad sender", Answer.REFUSED),
        ("552 5.2.2 mailbox full", Answer.REFUSED),
        ("450 4.2.1 later", Answer.DEFERRED),
        ("451 later", Answer.DEFERRED),
        ("421 4.3.2 closing", Answer.RELEASED),
    ],
)
def test_a_refusal_is_its_recipients_own(smtp: Configure, smtp_sink: SmtpSink, reply: str, expected: Answer) -> None:
    smtp_sink.configure(recipients={"b@b.example": reply})
    found = answers(smtp(), parcels("a@b.example", "b@b.example", "c@b.example"))
    after = Answer.RELEASED if expected == Answer.RELEASED else Answer.TAKEN
    assert found == [Answer.TAKEN, expected, after]
    assert smtp_sink.count() == found.count(Answer.TAKEN)


@pytest.mark.parametrize(
    ("behaviour", "expected"), [({"defer_data": 1}, Answer.DEFERRED), ({"refuse_data": 1}, Answer.REFUSED)]
)
def test_a_mail_may_be_refused_after_its_text(
    smtp: Configure, smtp_sink: SmtpSink, behaviour: dict[str, Any], expected: Answer
) -> None:
    smtp_sink.configure(**behaviour)
    assert answers(smtp(), parcels("a@b.example", "b@b.example")) == [expected] * 2


@pytest.mark.parametrize("where", ["drop_before", "drop_after"])
def test_a_connection_lost_behind_the_text_leaves_one_mail_in_doubt(
    smtp: Configure, smtp_sink: SmtpSink, where: str
) -> None:
    provider = smtp()
    assert answers(provider, parcels("z@b.example")) == [Answer.TAKEN]
    smtp_sink.configure(**{where: 1})
    found = answers(provider, parcels("a@b.example", "b@b.example", "c@b.example"))
    assert found == [Answer.UNKNOWN, Answer.RELEASED, Answer.RELEASED]
    smtp_sink.configure(**{where: 0})
    assert answers(provider, parcels("b@b.example")) == [Answer.TAKEN]


def test_a_relay_that_stalls_leaves_one_mail_in_doubt(smtp: Configure, smtp_sink: SmtpSink) -> None:
    smtp_sink.configure(stall=3)
    found = answers(smtp(timeout="0.5"), parcels("a@b.example", "b@b.example"))
    assert found == [Answer.UNKNOWN, Answer.RELEASED]


def test_a_sender_that_is_told_to_stop_gives_back_what_it_has_not_begun(
    smtp: Configure, smtp_sink: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.notifications.providers.smtp.is_stopping", lambda: smtp_sink.count() == 2)
    found = answers(smtp(), parcels("a@b.example", "b@b.example", "c@b.example", "d@b.example"))
    assert found == [Answer.TAKEN, Answer.TAKEN, Answer.RELEASED, Answer.RELEASED]
    assert smtp_sink.count() == 2


def test_a_relay_that_is_away_or_busy_takes_nothing(smtp: Configure, smtp_sink: SmtpSink) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        closed = str(taken.getsockname()[1])
    assert answers(smtp(port=closed), parcels("a@b.example")) == [Answer.RELEASED]
    smtp_sink.configure(greeting="421 4.3.2 busy")
    assert answers(smtp(), parcels("a@b.example")) == [Answer.RELEASED]


def test_a_relay_that_wants_a_login_gets_one_over_tls(smtp: Configure, smtp_sink: SmtpSink) -> None:
    smtp_sink.configure(starttls=True, login="denda:secret")
    one = parcels("a@b.example")
    assert answers(smtp(security="none"), one) == [Answer.RELEASED]
    assert answers(smtp(security="starttls"), one) == [Answer.RELEASED]
    assert answers(smtp(security="starttls", verify="false", username="denda", password="wrong"), one) == [
        Answer.RELEASED
    ]
    assert answers(smtp(security="starttls", verify="false", username="denda", password="secret"), one) == [
        Answer.TAKEN
    ]
    assert answers(smtp(security="opportunistic", verify="false", username="denda", password="secret"), one) == [
        Answer.TAKEN
    ]


def test_a_relay_without_tls_is_not_used_where_tls_is_asked_for(smtp: Configure, smtp_sink: SmtpSink) -> None:
    assert answers(smtp(security="starttls"), parcels("a@b.example")) == [Answer.RELEASED]


def test_an_address_beyond_ascii_is_written_to_where_the_relay_takes_it(smtp: Configure, smtp_sink: SmtpSink) -> None:
    found = answers(smtp(), parcels("a@b.example", "ñ@b.example", "c@b.example"))
    assert found == [Answer.TAKEN] * 3
    assert [mail.recipient for mail in smtp_sink.mails()] == ["a@b.example", "ñ@b.example", "c@b.example"]


def test_a_connection_is_renewed_after_so_many_mails(smtp: Configure, smtp_sink: SmtpSink) -> None:
    provider = smtp(messages_per_connection="2")
    for _ in range(3):
        provider.send(parcels("a@b.example", "b@b.example"))
    assert smtp_sink.connections() == 3


def test_checking_says_what_is_wrong(smtp: Configure, smtp_sink: SmtpSink) -> None:
    smtp().check()
    with pytest.raises(OSError, match="refused"):
        smtp(port="1").check()


def test_a_campaign_over_a_bad_relay_reaches_everybody_at_most_once_and_nobody_is_lost(
    doors: Doors, sending_by_smtp: Smtp, smtp_sink: SmtpSink, frozen_clock: FrozenClock
) -> None:
    plan = a_plan(a_template(doors), people=200)
    accepted(plan)
    smtp_sink.configure(defer=0.1, refuse=0.05, defer_data=0.05, refuse_data=0.05, drop_before=0.02, drop_after=0.02)
    for _ in range(60):
        while sending.send_bulk(Channel.EMAIL):
            pass
        frozen_clock.advance(minutes=20)
        recovery.end_leases()
        recovery.reconcile()
    found = states()
    assert sum(found.values()) == 200
    assert set(found) <= {State.SENT, State.FAILED, State.BOUNCED, State.UNKNOWN}
    copies = smtp_sink.copies()
    assert max(copies.values()) == 1
    assert found[State.SENT] <= len(copies) <= found[State.SENT] + found.get(State.UNKNOWN, 0)
    assert set(copies) <= set(everyone(plan))


def test_a_hard_bounce_suppresses_and_a_policy_refusal_does_not(
    doors: Doors, sending_by_smtp: Smtp, smtp_sink: SmtpSink
) -> None:
    plan = a_plan(a_template(doors), people=3)
    first, second, _ = everyone(plan)
    smtp_sink.configure(recipients={first: "550 5.1.1 no such user", second: "550 5.7.1 spam"})
    accepted(plan)
    sent()
    assert states() == {State.BOUNCED: 1, State.FAILED: 1, State.SENT: 1}
    with database.transaction() as session:
        assert session.scalars(select(Suppression.address)).all() == [first]


def test_a_transactional_mail_in_doubt_is_sent_again_under_the_same_message_id(
    doors: Doors, sending_by_smtp: Smtp, smtp_sink: SmtpSink, frozen_clock: FrozenClock
) -> None:
    template = a_template(doors)
    plan = a_plan(template, campaign_id="", people=0)
    recipients = a_plan(template, people=1).recipients
    brief = Brief(None, "", Channel.EMAIL, "", UUID(plan.template_id), 1, "", "", track=False)
    fields = {"given_name": "Ane", "unsubscribe_url": "-"}
    recipient = Recipient(uuid4(), None, recipients[0].address, "en", "", json.dumps(fields))
    with database.transaction() as session:
        accept(session, brief, [recipient], frozen_clock(), frozen_clock.moment.replace(year=2030))
    smtp_sink.configure(drop_after=1)
    sent()
    assert states() == {State.UNKNOWN: 1}
    smtp_sink.configure(drop_after=0)
    frozen_clock.advance(seconds=31)
    recovery.reconcile()
    sent()
    assert states() == {State.SENT: 1}
    assert Counter(mail.message_id for mail in smtp_sink.mails()).most_common(1)[0][1] == 2


def test_nothing_personal_is_logged(doors: Doors, sending_by_smtp: Smtp, smtp_sink: SmtpSink) -> None:
    plan = a_plan(a_template(doors), people=2)
    smtp_sink.configure(recipients={everyone(plan)[0]: f"421 4.3.2 not now, {everyone(plan)[0]}"})
    accepted(plan)
    with capture_logs() as entries:
        sending.send_bulk(Channel.EMAIL)
    logged = repr(entries)
    assert "provider_unreachable" in logged
    assert "customer.example" not in logged
    assert os.environ["DENDA_SMTP_HOST"]
