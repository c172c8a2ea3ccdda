"""Mails of the shapes that mail programs really send, made up reproducibly: for benchmarks and for tests of faults."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime

SUPPORT = "support@inbound.denda.example"
BEGIN = datetime(2026, 3, 2, 9, tzinfo=UTC)
# Language, charset of the text part, its transfer encoding, what is said, how a quotation begins.
SPEECH = (
    (
        "en",
        "utf-8",
        "quoted-printable",
        "My parcel has not come yet. Could you tell me where it is?",
        "On {} {} wrote:",
    ),
    (
        "de",
        "iso-8859-1",
        "quoted-printable",
        "Das Paket ist noch nicht da, könnten Sie nachsehen?",
        "Am {} schrieb {}:",
    ),
    ("es", "utf-8", "8bit", "El paquete aún no ha llegado, ¿dónde está?", "El {}, {} escribió:"),
    ("fr", "windows-1252", "8bit", "Le colis à 12 € n'est pas arrivé, où est-il ?", "Le {}, {} a écrit :"),
    ("ja", "iso-2022-jp", "7bit", "荷物がまだ届きません。どこにありますか。", "{} {}:"),
    ("eu", "utf-8", "base64", "Paketea ez da oraindik iritsi, non dago?", "{} {}(e)k idatzi du:"),
)
SUBJECTS = ("Where is my parcel?", "Wrong size", "Bestellung 4711", "¿Y mi pedido?", "Invoice, please", "荷物について")


def mails(count: int, seed: int = 1, senders: int = 5_000) -> Iterator[bytes]:
    """Mails to the support address: two in five answer an earlier one of the same sender."""
    chance = random.Random(seed)
    threads: dict[int, list[str]] = {}
    for number in range(count):
        sender = chance.randrange(senders)
        known = threads.setdefault(sender, [])
        answered = known[-1] if known and chance.random() < 0.6 else ""
        message_id = f"<{seed}.{number}.{chance.getrandbits(60):x}@mail{sender % 7}.example>"
        known.append(message_id)
        yield _mail(chance, number, sender, message_id, answered).as_bytes()


def _mail(chance: random.Random, number: int, sender: int, message_id: str, answered: str) -> EmailMessage:
    _, charset, encoding, said, quotes = SPEECH[sender % len(SPEECH)]
    mail = EmailMessage()
    moment = BEGIN + timedelta(seconds=30 * number)
    for hop in range(chance.randrange(2, 6)):
        mail["Received"] = f"from mx{hop}.example by mx{hop + 1}.example with ESMTPS id {chance.getrandbits(64):x}"
    mail["From"] = f"Customer {sender} <customer{sender}@mail{sender % 7}.example>"
    mail["To"] = f"Support <{SUPPORT}>"
    subject = SUBJECTS[sender % len(SUBJECTS)]
    mail["Subject"] = f"Re: {subject}" if answered else subject
    mail["Date"] = format_datetime(moment)
    mail["Message-ID"] = message_id
    if answered:
        mail["In-Reply-To"] = mail["References"] = answered
    text = _text(chance, sender, said, quotes if answered else "", moment)
    mail.set_content(text, charset=charset, cte=encoding)
    if chance.random() < 0.7:
        paragraphs = "".join(f"<p style='margin:0'>{line}</p>\n" for line in text.splitlines())
        mail.add_alternative(f"<html><body><div dir=ltr>{paragraphs}</div></body></html>", subtype="html")
    if chance.random() < 0.12:
        content = chance.randbytes(chance.randrange(5_000, 120_000))
        mail.add_attachment(content, maintype="application", subtype="pdf", filename=f"Quittung {number} Prüfung.pdf")
    return mail


def _text(chance: random.Random, sender: int, said: str, quotes: str, moment: datetime) -> str:
    lines = [said] * chance.randrange(1, 6)
    lines += ["", "-- ", f"Customer {sender}", "Sent from my phone"]
    if quotes:
        lines += ["", quotes.format(moment.date(), "Support"), *(f"> {said}" for _ in range(chance.randrange(2, 20)))]
    return "\n".join(lines) + "\n"
