"""How an SMS is billed: segments of GSM 03.38 characters, or of UCS-2 where one character is not among them."""

BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
# Each of these takes two places (GSM 03.38, extension table).
EXTENDED = frozenset("\f^{}\\[~]|€")


def segments(text: str) -> int:
    """In how many segments a text is sent: 160 characters in one and 153 in each of several, or 70 and 67."""
    if not text:
        return 0
    if all(character in BASIC or character in EXTENDED for character in text):
        length, alone, joined = sum(2 if character in EXTENDED else 1 for character in text), 160, 153
    else:
        length, alone, joined = len(text.encode("utf-16-be")) // 2, 70, 67
    return 1 if length <= alone else -(-length // joined)
