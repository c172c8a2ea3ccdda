"""What is new in an answer, apart from quotation and signature, as programs write it in many languages."""

# ruff: noqa: RUF001  # languages have letters that look like others

import time

import pytest

from services.support.mail.quoted import new_text
from services.support.mail.safe import safe_html, text_of_html

HEADINGS = (
    "On Mon, 2 Mar 2026 at 09:00, Support <support@shop.example> wrote:",
    "Am 02.03.26 um 09:00 schrieb Support:",
    "El lun, 2 mar 2026 a las 9:00, Support (<support@shop.example>) escribió:",
    "Le lun. 2 mars 2026 à 09:00, Support <support@shop.example> a écrit :",
    "Il giorno lun 2 mar 2026 alle ore 09:00 Support <support@shop.example> ha scritto:",
    "Em seg., 2 de mar. de 2026 às 09:00, Support <support@shop.example> escreveu:",
    "Op ma 2 mrt 2026 om 09:00 schreef Support <support@shop.example>:",
    "Den mån 2 mars 2026 kl 09:00 skrev Support <support@shop.example>:",
    "ma 2. maalisk. 2026 klo 9.00 Support (support@shop.example) kirjoitti:",
    "pon., 2 mar 2026 o 09:00 Support <support@shop.example> napisał(a):",
    "po 2. 3. 2026 v 9:00 odesílatel Support <support@shop.example> napsal:",
    "Support <support@shop.example> ezt írta (időpont: 2026. márc. 2., H, 9:00):",
    "пн, 2 мар. 2026 г. в 09:00, Support <support@shop.example>:",
    "2 Mart 2026 Pzt 09:00 tarihinde Support <support@shop.example> şunu yazdı:",
    "2026(e)ko mar. 2(a), al. 09:00 erabiltzaileak hau idatzi du (Support <support@shop.example>):",
    "2026年3月2日(月) 9:00 Support <support@shop.example>:",
    "Support <support@shop.example> 于2026年3月2日周一 09:00写道：",
    "2026년 3월 2일 (월) 오전 9:00, Support <support@shop.example>님이 작성:",
    "בתאריך יום ב׳, 2 במרץ 2026 ב-9:00 מאת \u202aSupport\u202c\u200f <\u202asupport@shop.example\u202c\u200f>:\u202c",
)
BLOCKS = (
    "-----Original Message-----\nFrom: Support\nSent: Monday\nTo: Ane\nSubject: Parcel",
    "From: Support <support@shop.example>\nSent: Monday, 2 March 2026 09:00\nTo: Ane\nSubject: Parcel",
    "________________________________\nVon: Support\nGesendet: Montag, 2. März 2026\nAn: Ane\nBetreff: Paket",
    "De: Support\nEnviado el: lunes, 2 de marzo de 2026\nPara: Ane\nAsunto: Paquete",
    "De : Support\nEnvoyé : lundi 2 mars 2026\nÀ : Ane\nObjet : Colis",
    "*Da:* Support\n*Inviato:* lunedì 2 marzo 2026\n*A:* Ane\n*Oggetto:* Pacco",
    "Nork: Support\nBidalita: astelehena\nNori: Ane\nGaia: Paketea",
    "差出人: Support\n送信日時: 2026年3月2日\n宛先: Ane\n件名: 荷物",
)
SIGNATURES = (
    "-- \nAne Etxeberria\nTel. 555",
    "Sent from my iPhone",
    "Von meinem iPhone gesendet",
    "Enviado desde mi Samsung",
    "Envoyé de mon iPhone",
    "Nire iPhone-tik bidalia",
    "iPhoneから送信",
    "Best regards,\nAne",
    "Mit freundlichen Grüßen\n\nAne Etxeberria\nBilbo",
    "Un saludo,\nAne",
    "С уважением,\nАне",
)


@pytest.mark.parametrize("heading", HEADINGS)
def test_a_quotation_is_left_out(heading: str) -> None:
    assert new_text(f"It has not come.\n\nNot one piece.\n\n{heading}\n\n> It is on its way.\n> Really.\n") == (
        "It has not come.\n\nNot one piece."
    )


@pytest.mark.parametrize("heading", HEADINGS)
def test_a_quotation_without_marks_is_left_out(heading: str) -> None:
    assert new_text(f"It has not come.\n\n{heading}\n\nIt is on its way.\nReally.\n") == "It has not come."


@pytest.mark.parametrize("block", BLOCKS)
def test_what_stands_behind_the_header_of_the_quoted_mail_is_left_out(block: str) -> None:
    assert new_text(f"It has not come.\n\n{block}\n\nIt is on its way.\n") == "It has not come."


@pytest.mark.parametrize("signature", SIGNATURES)
def test_a_signature_is_left_out(signature: str) -> None:
    assert new_text(f"It has not come.\n\n{signature}\n") == "It has not come."


def test_an_answer_below_the_quotation_stays() -> None:
    assert (
        new_text("On 2 March Support wrote:\n> Which size?\n> And which colour?\n\nForty, in red.") == "Forty, in red."
    )


def test_answers_between_quoted_lines_stay() -> None:
    text = "Hello,\n\nOn 2 March Support wrote:\n> Which size?\nForty.\n> Which colour?\nRed.\n\n-- \nAne"
    assert new_text(text) == "Hello,\n\nForty.\nRed."


def test_a_heading_over_two_lines_is_left_out() -> None:
    text = "I paid 20 euros.\n\nOn Mon, 2 Mar 2026 at 09:00, A long name <support@shop.example>\nwrote:\n> Hi"
    assert new_text(text) == "I paid 20 euros."


def test_what_is_passed_on_stays() -> None:
    passed_on = "---------- Forwarded message ---------\nFrom: Evil\nDate: Monday\nTo: Ane\nSubject: Win\n\nClick"
    text = f"Is this from you?\n\n{passed_on}"
    assert new_text(text).endswith("Click")


def test_nothing_that_looks_like_a_mark_cuts_a_text() -> None:
    for text in (
        "I need two things:\nthe red one,\nthe blue one.",
        "It came at 9:00:\nbroken.",
        "From: here to there it took a week.",
        "Thanks, that helped. But there is more to ask.",
        "- one\n- two\n- three",
        "Best regards to your colleague who found it.",
        "De: la tienda\nno sé nada.",
    ):
        assert new_text(text) == text


def test_a_mail_that_only_quotes_keeps_its_text() -> None:
    assert new_text("> It is on its way.\n") == "> It is on its way."


def test_a_quotation_in_html_is_left_out() -> None:
    html = (
        "<div dir=ltr>It has not come.</div><div class=gmail_quote><div>On Mon, 2 Mar 2026 at 09:00, Support &lt;"
        "<a href='mailto:s@x'>support@shop.example</a>&gt; wrote:<br></div><blockquote>It is on its way.<br>Really."
        "</blockquote></div>"
    )
    assert new_text(text_of_html(safe_html(html))) == "It has not come."


@pytest.mark.parametrize(
    "line", ["On a 1\n", "On " + "a " * 2_000 + "\n", "From: \n", "- \n", "a 1:\n", "wrote:\n", "\n", "-- \n", "Best\n"]
)
def test_no_text_takes_long(line: str) -> None:
    begin = time.process_time()
    new_text(line * (500_000 // len(line)))
    assert time.process_time() - begin < 5
