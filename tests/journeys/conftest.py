"""A whole installation in this process: every service, the gateway, RabbitMQ, PostgreSQL and an SMTP server."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.request import HTTPRedirectHandler, Request, build_opener

import grpc
import pytest

from chassis import client
from chassis.bus import connect
from chassis.ids import new_id
from chassis.runner import running
from chassis.service import Service
from chassis.settings import settings
from denda.contacts.v1 import imports_service_pb2 as imports
from denda.contacts.v1.imports_service_pb2_grpc import ImportsServiceStub
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL
from services import address, public_url
from services.gateway.service import EDGE
from tests.kit.ports import free_offset
from tests.kit.smtp import SmtpSink
from tests.kit.tokens import a_token, trusting

Stub = TypeVar("Stub")
SERVICES = ("identity", "contacts", "campaigns", "notifications", "support")
CHUNK = 512 * 1024
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class _Staying(HTTPRedirectHandler):
    """Follows nobody elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True)
class Shop:
    """The installation as its users see it."""

    sink: SmtpSink

    def stub(self, kind: Callable[[grpc.Channel], Stub], service: str, *roles: str) -> Stub:
        """A generated stub that speaks with a token of the roles."""
        plain = client.plain_channel(address(service))
        return kind(client.speaking_with(plain, lambda: a_token(*roles)))

    def import_people(self, rows: Sequence[dict[str, str]]) -> imports.Import:
        """Import a customer file whose column `agreed` says who may get marketing by email."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        consent = imports.ImportConsent(purpose="marketing", channel=CHANNEL_EMAIL, column="agreed")
        plan = imports.ImportPlan(
            import_id=str(new_id()), file_name="customers.csv", key=imports.ImportPlan.KEY_EMAIL, consents=[consent]
        )
        data = text.getvalue().encode()
        chunks = [imports.ImportPeopleRequest(chunk=data[at : at + CHUNK]) for at in range(0, len(data), CHUNK)]
        requests = iter([imports.ImportPeopleRequest(plan=plan), *chunks])
        return self.stub(ImportsServiceStub, "contacts", "marketer").ImportPeople(requests)

    def visit(self, url: str, data: bytes | None = None) -> None:
        """Follow a link of this installation as a browser does; with data, POST it. A redirection raises HTTPError."""
        if not url.startswith(public_url()):
            raise ValueError(f"{url} is not ours")
        request = Request(url, data=data, headers={"User-Agent": BROWSER})
        with build_opener(_Staying()).open(request, timeout=20) as answer:
            answer.read()


@pytest.fixture
def shop(
    migrated: Callable[[str], Service], rabbitmq_url: str, smtp_sink: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    """Everything runs, beside doors that other tests may have left open; mail goes to the sink, which keeps it."""
    smtp_sink.configure(keep=True)
    _configure(monkeypatch, BUS_URL=rabbitmq_url, EMAIL_PROVIDER="smtp", SMTP_PORT=str(smtp_sink.port))
    with _running([migrated(name) for name in SERVICES], rabbitmq_url):
        yield Shop(smtp_sink)


@pytest.fixture
def sandbox_shop(
    migrated: Callable[[str], Service], rabbitmq_url: str, smtp_sink: SmtpSink, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    """The same with the sandbox, whose customers act quickly."""
    _configure(monkeypatch, BUS_URL=rabbitmq_url, SANDBOX_DELAY="0.2")
    with _running([migrated(name) for name in SERVICES], rabbitmq_url):
        yield Shop(smtp_sink)


def _configure(monkeypatch: pytest.MonkeyPatch, **environment: str) -> None:
    for name, value in {"PORT_OFFSET": str(free_offset()), "LOG_LEVEL": "warning", **environment}.items():
        monkeypatch.setenv(f"DENDA_{name}", value)
    settings.cache_clear()


@contextmanager
def _running(services: Sequence[Service], bus_url: str) -> Iterator[None]:
    keys = trusting(lambda: client.public_keys(address("identity")))
    with running(services, connect(bus_url), keys, edges=[EDGE]):
        yield
    client.forget_channels()
