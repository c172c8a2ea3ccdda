"""What is new in a text that somebody answers with: apart from what it quotes, and from the signature.

Written line by line so that no text takes more than linear time. Where in doubt a line stays: the whole text is kept
beside it, and an agent who sees a signature has lost less than one who misses a sentence.
"""

import re

from services.support.mail.phrases import CLOSINGS, FORWARDED, FROM, OTHER_FIELDS, SENT_FROM, SEPARATORS, WROTE

# A line like "On Monday, Ane wrote:" may be broken in so many.
_HEADING_LINES = 3
_MOST_HEADING = 300
# The lines in which Outlook names sender, date, recipient and subject of what it quotes.
_FIELD_LINES = 7
_MOST_SIGNATURE_LINES = 6

_FIELD = re.compile(r"[\s*]*([^\W\d][^:\uff1a\n]{0,30}?)[\s*]*[:\uff1a]")
_DASHES = re.compile(r"[-_=\s*]+")
_WRITTEN_ADDRESS = re.compile(r"<[^<>\s]+@[^<>\s]+>")
_MARKS_OF_DIRECTION = dict.fromkeys(map(ord, "\u200b\u200e\u200f\u202a\u202b\u202c\ufeff"), None)


def new_text(text: str) -> str:
    """The part of a mail's text that its author wrote anew; all of it where nothing else would be left."""
    lines = [line.replace("\xa0", " ").translate(_MARKS_OF_DIRECTION).rstrip() for line in text.split("\n")]
    said = _without_signature(_without_quotations(lines))
    return "\n".join(said).strip() or text.strip()


def _without_quotations(lines: list[str]) -> list[str]:
    """The lines that are not quoted. Lines behind `>` are left out wherever they are; a block ends the text."""
    kept: list[str] = []
    forwarded = False
    for number, line in enumerate(lines):
        if line.startswith(">"):
            continue
        words = _words(line)
        forwarded = forwarded or words.startswith(FORWARDED)
        if not forwarded and _begins_block(lines, number, words):
            break
        if _is_heading(line, words, kept):
            quoted_lines = _quotation_follows(lines, number)
            if quoted_lines or _says_who_wrote(line, words):
                _drop_beginning(line, kept)
                if not quoted_lines:
                    break
                continue
        kept.append(line)
    return kept


def _is_heading(line: str, words: str, before: list[str]) -> bool:
    """Whether a line can be the end of one that says when somebody wrote: it ends in a colon and names a time."""
    if not line.endswith((":", "\uff1a")) or len(line) > _MOST_HEADING:
        return False
    nearby = "".join((*before[1 - _HEADING_LINES :], line))
    return any(char.isdigit() for char in nearby) or any(word in words for word in WROTE)


def _says_who_wrote(line: str, words: str) -> bool:
    return any(word in words for word in WROTE) or bool(_WRITTEN_ADDRESS.search(line))


def _quotation_follows(lines: list[str], number: int) -> bool:
    following = (line for line in lines[number + 1 : number + 4] if line)
    return next(following, "").startswith(">")


def _drop_beginning(heading: str, kept: list[str]) -> None:
    """Take back the beginning of a broken heading: the lines right above it, up to the one with the date."""
    above = kept[1 - _HEADING_LINES :]
    dated = [place for place, line in enumerate(above) if any(char.isdigit() for char in line)]
    if dated and not any(char.isdigit() for char in heading) and all(above[dated[-1] :]):
        del kept[len(kept) - len(above) + dated[-1] :]


def _begins_block(lines: list[str], number: int, words: str) -> bool:
    """Whether all that follows is quoted: behind a separator, or behind the fields of the quoted mail's header."""
    if words.startswith(SEPARATORS) and _DASHES.match(lines[number]):
        return True
    if _field_of(lines[number]) not in FROM:
        return False
    others = {_field_of(line) for line in lines[number + 1 : number + _FIELD_LINES]} & OTHER_FIELDS
    return len(others) >= 2


def _field_of(line: str) -> str:
    found = _FIELD.match(line[:60])
    return found[1].strip().casefold() if found else ""


def _words(line: str) -> str:
    """A line's words in small letters, without dashes around them; a long line is no mark of anything."""
    return line.strip("-_=* \t").casefold() if len(line) <= _MOST_HEADING else ""


def _without_signature(lines: list[str]) -> list[str]:
    """The lines without the signature behind `-- `, without "Sent from my phone" and without a closing formula."""
    if "--" in lines:
        before = lines[: lines.index("--")]
        lines = before if any(before) else lines
    lines = _stripped(lines)
    if lines and _words(lines[-1]).startswith(SENT_FROM):
        lines = _stripped(lines[:-1])
    tail = lines[-_MOST_SIGNATURE_LINES:]
    for place, line in enumerate(tail):
        if _words(line).rstrip(",.!;\u060c\u3002 ") in CLOSINGS:
            above = lines[: len(lines) - len(tail) + place]
            return above if any(above) else lines
    return lines


def _stripped(lines: list[str]) -> list[str]:
    end = len(lines)
    while end and not lines[end - 1].strip("_-= "):
        end -= 1
    return lines[:end]
