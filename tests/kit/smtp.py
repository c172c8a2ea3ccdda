"""Starts the SMTP sink and asks it what it has taken."""

import json
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Mail(NamedTuple):
    """A mail as one recipient got it; `text` is empty unless the sink was told to keep whole mails."""

    recipient: str
    message_id: str
    text: str


class SmtpSink:
    """A running sink: `host` and `port` for SMTP, the methods to ask and to steer it."""

    host = "127.0.0.1"

    def __init__(self, port: int = 0) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kit.smtp_sink", str(port)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        mail, questions, self.certificate = self._process.stdout.readline().split()
        self.port = int(mail)
        self._questions = socket.create_connection((self.host, int(questions)))
        self._answers = self._questions.makefile("rb")

    @property
    def pid(self) -> int:
        """The sink's process, to measure or kill it."""
        return self._process.pid

    def count(self) -> int:
        """Mails taken, counted once a recipient."""
        return int(self._ask("count")["mails"])

    def connections(self) -> int:
        """Connections made."""
        return int(self._ask("count")["connections"])

    def mails(self, start: int = 0) -> list[Mail]:
        """Mails taken, from the given one on."""
        return [Mail(*mail) for mail in self._ask("mails", start=start)]

    def copies(self) -> Counter[str]:
        """How many mails each recipient got."""
        return Counter(mail.recipient for mail in self.mails())

    def configure(self, **behaviour: Any) -> None:
        """Change how the sink behaves; see `Behaviour` in smtp_sink.py."""
        self._ask("configure", **behaviour)

    def clear(self) -> None:
        """Forget all mails and behave well again."""
        self._ask("clear")

    def close(self) -> None:
        """End the process."""
        self._answers.close()
        self._questions.close()
        self._process.communicate(timeout=10)

    def _ask(self, what: str, **more: Any) -> Any:
        self._questions.sendall(json.dumps({"ask": what, **more}).encode() + b"\n")
        return json.loads(self._answers.readline())
