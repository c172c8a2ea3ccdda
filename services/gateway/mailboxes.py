"""Whom mail is taken for: the inbound domain, our own senders and the addresses of queues. There is no way through."""

import threading
import time

from services.gateway import clients
from services.gateway.settings import gateway_settings

# A queue's new address is known after so many seconds.
REMEMBERED = 5.0


def is_ours(address: str) -> bool:
    """Whether an address is at the inbound domain or one of our senders; so is `Postmaster` (RFC 5321 §4.5.1)."""
    local, _, domain = address.casefold().rpartition("@")
    at_home = domain == gateway_settings().inbound_domain.casefold() or (not local and domain == "postmaster")
    return at_home or address.casefold() in _senders()


def _senders() -> frozenset[str]:
    """The addresses that our mails come from where they name no other; answers without a Reply-To go there."""
    chosen = gateway_settings()
    # A name may hold a comma without quotes, which no parser of headers takes.
    written = (chosen.email_sender, chosen.support_sender)
    return frozenset(sender.rpartition("<")[2].strip("> ").casefold() for sender in written)


class QueueAddresses:
    """The addresses of queues, asked for when they are needed and remembered for some seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: frozenset[str] = frozenset()
        self._until = 0.0

    def __contains__(self, address: str) -> bool:
        """Whether mail to an address becomes a ticket. Raises grpc.RpcError while nobody can say it."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._known = frozenset(found.casefold() for found in clients.queue_addresses())
                self._until = time.monotonic() + REMEMBERED
            return address.casefold() in self._known
