"""Status codes of mail systems (RFC 3463): whether a refusal is about the address or about something else."""

import re

ENHANCED = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")


def refuses_address(words: str) -> bool | None:
    """Whether the first status code says for good that the address cannot be reached; None where there is no code."""
    found = ENHANCED.search(words)
    if not found:
        return None
    subject, detail = int(found[2]), int(found[3])
    # X.1.7 and X.1.8 are about the sender's address; X.2.1 is a mailbox that was closed.
    return found[1] == "5" and ((subject == 1 and detail not in (7, 8)) or (subject, detail) == (2, 1))
