"""A private Dovecot, the IMAP server of most hosts, in a folder of its own, with one user."""

import imaplib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from tests.kit.ports import free_block
from tests.kit.rabbitmq import NotInstalledError, or_skipped

USER, PASSWORD = "support@shop.example", "a-password/with:signs@"
CONFIGURATION = """
protocols = imap
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
ssl = no
disable_plaintext_auth = no
default_internal_user = {account}
default_login_user = {account}
default_internal_group = {group}
mail_location = maildir:{folder}/mail
first_valid_uid = 1
passdb {{
  driver = static
  args = password={{PLAIN}}{password}
}}
userdb {{
  driver = static
  args = uid={account} gid={group} home={folder}/mail
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
"""


def program() -> str:
    """Dovecot, installed from the system's packages where that is permitted."""
    found = _found()
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-qy", "dovecot-imapd"]):
            subprocess.run(command, env=environment, capture_output=True, timeout=300, check=False)
        found = _found()
    if found is None:
        raise NotInstalledError("Dovecot is missing (Debian, Ubuntu: apt-get install dovecot-imapd)")
    return found


def _found() -> str | None:
    return shutil.which("dovecot", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")


@contextmanager
def mail_server() -> Iterator["Dovecot"]:
    """An IMAP server with an empty mailbox. Its folder is short and open: sockets and another account need that.

    Fails, or skips the test outside of CI, where Dovecot cannot be had.
    """
    folder = Path(tempfile.mkdtemp(prefix="dovecot-"))
    folder.chmod(0o755)
    with or_skipped():
        running = Dovecot(folder)
    yield running
    running.stop()
    shutil.rmtree(folder)


class Dovecot:
    """A server that is up; its mailbox is looked at and filled by IMAP, as anybody would."""

    def __init__(self, folder: Path) -> None:
        self._folder, self.port = folder, free_block()
        account = ("nobody", "nogroup") if os.geteuid() == 0 else (str(os.getuid()), str(os.getgid()))
        for name in ("run", "state", "mail"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(folder / "mail", *account)
        configuration = folder / "dovecot.conf"
        configuration.write_text(
            CONFIGURATION.format(folder=folder, port=self.port, account=account[0], group=account[1], password=PASSWORD)
        )
        self._process = subprocess.Popen([program(), "-F", "-c", configuration], start_new_session=True)
        self._wait()

    @property
    def url(self) -> str:
        """The inbox, as DENDA_IMAP_URL names it."""
        return f"imap://{quote(USER, '')}:{quote(PASSWORD, '')}@127.0.0.1:{self.port}/INBOX"

    @contextmanager
    def logged_in(self, folder: str = "INBOX") -> Iterator[imaplib.IMAP4]:
        """A connection of our own."""
        with imaplib.IMAP4("127.0.0.1", self.port, timeout=20) as connection:
            connection.login(USER, PASSWORD)
            connection.select(folder)
            yield connection

    def deliver(self, *raws: bytes) -> None:
        """Put mails into the inbox."""
        with self.logged_in() as connection:
            for raw in raws:
                assert connection.append("INBOX", "", "", raw)[0] == "OK"

    def flags(self, folder: str = "INBOX") -> list[str]:
        """The flags of each mail in a folder."""
        with self.logged_in(folder) as connection:
            lines = [line for line in connection.uid("FETCH", "1:*", "(FLAGS)")[1] if isinstance(line, bytes)]
            return [line.decode().partition("FLAGS (")[2].rstrip(")") for line in lines]

    def stop(self) -> None:
        """Stop the server."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)

    def _wait(self) -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                with self.logged_in():
                    return
            except (OSError, imaplib.IMAP4.error):
                time.sleep(0.1)
        self.stop()
        log = self._folder / "dovecot.log"
        raise AssertionError(f"Dovecot did not start: {log.read_text()[-2000:] if log.exists() else 'no log'}")
