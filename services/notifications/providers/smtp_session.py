"""One SMTP connection: smtplib connects, encrypts and logs in; mails go over the bare socket, pipelined if offered."""

import smtplib
import socket
import ssl
from typing import NamedTuple

from services.notifications.providers import Parcel

MOST_WORDS = 500
MOST_UNREAD = 65536


class Reply(NamedTuple):
    """A relay's reply, and the command that it answers."""

    code: int
    words: str
    stage: str

    def __str__(self) -> str:
        return f"{self.code} {self.words}"[:MOST_WORDS]


class SmtpSession(smtplib.SMTP):
    """A connection to the relay; `broken` says that it must not be used again."""

    def __init__(self, timeout: float, hello: str | None, tls: ssl.SSLContext | None) -> None:
        super().__init__(local_hostname=hello, timeout=timeout)
        self._tls = tls
        # A transaction was left half way: the next one begins with RSET.
        self._untidy = False
        self._unread = b""
        self.broken = False
        self.delivered = 0
        # The envelope of the following mail was sent behind the last one's text.
        self.ahead = False

    def __del__(self) -> None:
        # A sender's thread that ends leaves its connection behind.
        self.close()

    def greet(self, host: str, port: int) -> None:
        """Connect and say EHLO. Raises OSError or SMTPException."""
        self._host = host
        code, words = self.connect(host, port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, words)
        self.ehlo_or_helo_if_needed()

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = socket.create_connection((host, port), timeout)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._tls.wrap_socket(plain, server_hostname=host) if self._tls else plain

    def answers(self) -> bool:
        """Whether the relay still answers after a rest."""
        try:
            return self.noop()[0] == 250
        except (OSError, smtplib.SMTPException):
            return False

    def leave(self) -> None:
        """Close the connection, politely where it still works."""
        try:
            if not self.broken:
                self.putcmd("quit")
        except (OSError, smtplib.SMTPException):
            pass
        finally:
            self.close()

    def envelope(self, parcel: Parcel, *, announced: bool) -> Reply | None:
        """Say who writes to whom and ask to send the text; the refusal, or None when the relay waits for it."""
        if not self.has_extn("pipelining"):
            return self._envelope_in_steps(parcel)
        if not announced:
            self._write(self._commands(parcel))
        if self._untidy:
            self._reply("RSET")
            self._untidy = False
        replies = [self._reply(stage) for stage in ("MAIL", "RCPT", "DATA")]
        refusal = next((reply for reply in replies[:2] if not 200 <= reply.code < 300), None)
        if replies[2].code == 354:
            if refusal:
                # It waits for a text although nobody is to get it: an empty one goes to nobody (RFC 2920 §3.1).
                self._write(b".\r\n")
                self._reply("DATA")
            return refusal
        self._untidy = True
        return refusal or replies[2]

    def text(self, parcel: Parcel, following: Parcel | None) -> Reply:
        """Send the text and take the relay's last word. What is lost from here on is lost in doubt."""
        stuffed = parcel.raw.replace(b"\r\n.", b"\r\n..")
        self.ahead = following is not None and self.has_extn("pipelining")
        ahead = self._commands(following) if following and self.ahead else b""
        self._write(stuffed + b".\r\n" + ahead)
        return self._reply("text")

    def _commands(self, parcel: Parcel) -> bytes:
        reset = b"RSET\r\n" if self._untidy else b""
        mail, rcpt = _envelope_lines(parcel)
        return reset + mail + rcpt + b"DATA\r\n"

    def _envelope_in_steps(self, parcel: Parcel) -> Reply | None:
        if self._untidy:
            self._write(b"RSET\r\n")
            self._reply("RSET")
            self._untidy = False
        mail, rcpt = _envelope_lines(parcel)
        for stage, command, wanted in (("MAIL", mail, 2), ("RCPT", rcpt, 2), ("DATA", b"DATA\r\n", 3)):
            self._write(command)
            reply = self._reply(stage)
            if reply.code // 100 != wanted:
                self._untidy = True
                return reply
        return None

    def _reply(self, stage: str) -> Reply:
        words: list[bytes] = []
        while True:
            line = self._line()
            words.append(line[4:].strip())
            if line[3:4] != b"-":
                break
        if not line[:3].isdigit():
            raise smtplib.SMTPServerDisconnected("the relay does not speak SMTP")
        return Reply(int(line[:3]), b" ".join(words).decode("utf-8", "replace"), stage)

    def _line(self) -> bytes:
        """The next line of a reply; replies to a pipeline come many at once."""
        while (end := self._unread.find(b"\n")) < 0:
            if self.sock is None or len(self._unread) > MOST_UNREAD:
                raise smtplib.SMTPServerDisconnected("the connection is closed or talks without end")
            more = self.sock.recv(8192)
            if not more:
                raise smtplib.SMTPServerDisconnected("the connection was closed")
            self._unread += more
        line = self._unread[:end]
        self._unread = self._unread[end + 1 :]
        return line

    def _write(self, data: bytes) -> None:
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("the connection is closed")
        self.sock.sendall(data)


def _envelope_lines(parcel: Parcel) -> tuple[bytes, bytes]:
    parameters = " SMTPUTF8" if parcel.utf8 else ""
    return f"MAIL FROM:<{parcel.sender}>{parameters}\r\n".encode(), f"RCPT TO:<{parcel.address}>\r\n".encode()
