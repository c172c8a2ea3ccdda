"""What people answer an SMS with to be left alone, or to be written to again, in the languages around us.

The whole message must be the word, give or take case, accents, punctuation and a little politeness: an answer
that merely contains "end" or "baja" is an answer.
"""

import re
import unicodedata
from enum import StrEnum


class Wish(StrEnum):
    """What a keyword asks for."""

    STOP = "stop"
    START = "start"
    HELP = "help"


STOP = frozenset(
    [
        "stop",
        "stopall",
        "unsubscribe",
        "cancel",
        "end",
        "quit",
        "revoke",
        "optout",
        "remove",
        "alto",
        "baja",
        "parar",
        "cancelar",
        "basta",
        "borrar",
        "gelditu",
        "utzi",
        "kendu",
        "baxa",
        "baixa",
        "aturar",
        "aturada",
        "cancella",
        "sair",
        "arret",
        "arreter",
        "desabonner",
        "desabonnement",
        "desinscrire",
        "stopp",
        "abmelden",
        "abbestellen",
        "beenden",
        "ferma",
        "fermare",
        "annulla",
        "disiscrivi",
        "cancellami",
        "stoppen",
        "afmelden",
        "uitschrijven",
        "avsluta",
        "afmeld",
        "lopeta",
        "rezygnuje",
        "stopmarketing",
    ]
)
START = frozenset(
    [
        "start",
        "unstop",
        "subscribe",
        "optin",
        "alta",
        "hasi",
        "iniciar",
        "comenzar",
        "commencer",
        "anmelden",
        "inizia",
        "aanmelden",
        "iscrivi",
    ]
)
HELP = frozenset(["help", "info", "ayuda", "laguntza", "ajuda", "aide", "hilfe", "aiuto", "hulp"])
POLITE = frozenset(
    [
        "please",
        "por",
        "favor",
        "mesedez",
        "si",
        "us",
        "plau",
        "svp",
        "bitte",
        "per",
        "favore",
        "all",
        "todo",
        "guztia",
        "sms",
        "now",
        "ya",
    ]
)


def wish_of(text: str) -> Wish | None:
    """What an SMS asks for; None when it is an answer like any other."""
    words = _plain_words(text)
    if not words:
        return None
    # "OPT OUT" and "opt-out" are one word.
    joined = "".join(words)
    rest = [word for word in words if word not in POLITE]
    word = joined if joined in STOP | START | HELP else rest[0] if len(rest) == 1 else ""
    for wish, keywords in ((Wish.STOP, STOP), (Wish.START, START), (Wish.HELP, HELP)):
        if word in keywords:
            return wish
    return None


def _plain_words(text: str) -> list[str]:
    bare = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return re.findall(r"\w+", bare)
