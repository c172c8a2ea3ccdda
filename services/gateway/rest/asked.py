"""What a program asks for by REST."""

import re
from typing import Any

from werkzeug.wrappers import Request

from chassis.ids import new_id

# A template may hold a million characters, and a program may send several languages of it at once.
BODY_BYTES = 4 * 1024 * 1024
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,60}")


class Asked(Request):
    """A request under the id that its program gave it, or a new one; it goes on to the services and comes back."""

    max_content_length = BODY_BYTES

    def __init__(self, environ: dict[str, Any]) -> None:
        super().__init__(environ)
        said = environ.get("HTTP_X_REQUEST_ID", "")
        self.request_id = said if REQUEST_ID.fullmatch(said) else str(new_id())
