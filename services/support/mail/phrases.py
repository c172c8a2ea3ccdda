"""What mail programs and people write around what they say, in their languages: `phrases.json`, in small letters.

`wrote` stands in the line above a quotation; behind one of `separators` all is quoted, behind one of `forwarded` it was
passed on to be read. `from` is the first field of what Outlook quotes, `other_fields` follow it. `sent_from` is what
programs sign with, `closings` what people do, and `away` is before the subject of answers that nobody wrote.
"""

import json
from pathlib import Path

_FILE = Path(__file__).with_name("phrases.json")
_PHRASES = {name: [one.casefold() for one in some] for name, some in json.loads(_FILE.read_text("utf-8")).items()}

WROTE = tuple(_PHRASES["wrote"])
SEPARATORS = tuple(_PHRASES["separators"])
FORWARDED = tuple(_PHRASES["forwarded"])
FROM = frozenset(_PHRASES["from"])
OTHER_FIELDS = frozenset(_PHRASES["other_fields"])
SENT_FROM = tuple(_PHRASES["sent_from"])
CLOSINGS = frozenset(_PHRASES["closings"])
AWAY = tuple(_PHRASES["away"])
