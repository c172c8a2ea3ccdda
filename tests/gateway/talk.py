"""Speaks SMTP badly: what a client sends, and what it hears, are in the test's hands."""

import socket
import time


class Talk:
    """A conversation, byte by byte."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._lines = self.socket.makefile("rb")
        self.greeting = self.hear()

    def hear(self) -> str:
        """The next answer, its lines together; empty when the door has hung up."""
        heard = ""
        while line := self._lines.readline().decode():
            heard += line
            if line[3:4] == " ":
                break
        return heard.strip()

    def say(self, *commands: str | bytes) -> str:
        """The answer to the last one of some commands."""
        answer = ""
        for command in commands:
            self.send((command if isinstance(command, bytes) else command.encode()) + b"\r\n")
            answer = self.hear()
        return answer

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def go_on_sending(self, data: bytes, pause: float = 0) -> None:
        """Send the same for ten seconds, without listening."""
        until = time.monotonic() + 10
        while time.monotonic() < until:
            self.send(data)
            time.sleep(pause)

    def ready_for(self, *recipients: str, hello: str = "EHLO client.example") -> str:
        """The answer to DATA."""
        return self.say(hello, "MAIL FROM:<ane@shop.example>", *(f"RCPT TO:<{one}>" for one in recipients), "DATA")
