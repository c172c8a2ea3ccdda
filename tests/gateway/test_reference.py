"""The reference: an OpenAPI document that is one, a page that everybody can read, and examples that work as printed."""

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from chassis.clock import now
from chassis.ids import new_id
from services import public_url
from services.campaigns.models import Campaign, Recipient, RecipientState
from services.campaigns.models import database as campaigns_database
from services.gateway.reference.comments import comment
from services.gateway.reference.document import document
from services.gateway.reference.examples import example, setting
from services.gateway.rest.bindings import Binding, bindings
from services.gateway.service import Gateway
from services.support.models import InboundMail
from services.support.models import database as support_database
from services.support.states import InboundState
from tests.gateway.conftest import Serve
from tests.gateway.test_pages import Document
from tests.kit.tokens import a_token

# Nothing lists imports or files, and a made-up secret opens nothing.
REFUSED = {
    "DownloadAttachment": 404,
    "GetImport": 404,
    "ListImportErrors": 404,
    "RefreshSession": 401,
    "ExchangeApiKey": 401,
}
CREATED_FIRST = ["CreatePerson", "GrantConsent", "CreateSegment", "CreateTemplate", "CreateUser", "SendMessage"]


def operations() -> list[dict[str, Any]]:
    return [operation for path in document()["paths"].values() for operation in path.values()]


def test_the_document_is_openapi_and_holds_every_call(gateway: FlaskClient) -> None:
    answer = gateway.get("/openapi.json")
    assert answer.mimetype == "application/json"
    OpenAPIV31SpecValidator(answer.get_json()).validate()
    assert len(operations()) == len(bindings())
    names = [operation["operationId"] for operation in operations()]
    assert len(set(names)) == len(names)


def test_every_call_says_what_it_does_and_who_may() -> None:
    for binding in bindings():
        assert comment(binding.rpc.descriptor.full_name), binding.rpc.path
    login, deletion = document()["paths"]["/v1/sessions"]["post"], document()["paths"]["/v1/people/{id}"]["delete"]
    assert (login["security"], login["x-roles"]) == ([], [])
    assert deletion["x-roles"] == ["ROLE_ADMIN", "ROLE_SERVICE"]


def test_rules_of_the_contracts_are_in_the_schemas() -> None:
    schemas = document()["components"]["schemas"]
    address = schemas["contacts.v1.Address"]
    assert address["required"] == ["kind", "value"]
    assert address["properties"]["kind"]["enum"] == ["KIND_EMAIL", "KIND_PHONE"]
    assert address["properties"]["value"]["maxLength"] == 254
    tags = schemas["contacts.v1.Person"]["properties"]["tags"]
    assert (tags["maxItems"], tags["uniqueItems"], tags["items"]["maxLength"]) == (200, True, 100)
    listing = document()["paths"]["/v1/people"]["get"]
    size = next(parameter for parameter in listing["parameters"] if parameter["name"] == "pageSize")
    assert (size["schema"]["minimum"], size["schema"]["maximum"]) == (0, 1000)


def test_the_page_shows_every_call_to_everybody(gateway: FlaskClient) -> None:
    answer = gateway.get("/docs")
    page = Document(answer.text)
    assert [tag for tag, _ in page.tags].count("h1") == 1
    assert not page.all("script")
    anchors = {attributes["id"] for attributes, _ in page.all("h3")}
    assert len(anchors) == len(bindings())
    assert {attributes["href"][1:] for attributes, _ in page.all("a") if attributes["href"][0] == "#"} == anchors
    assert all(text for _, text in page.all("summary", "th", "h2", "h3"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


@pytest.fixture
def shell(serve: Serve) -> Iterator[str]:
    """Everything runs, with a little of everything in it; what to say to a shell first."""
    serve("contacts", "campaigns", "notifications", "support")
    edge = Gateway()
    edge.start()
    yield setting(public_url()).replace("$(.venv/bin/denda token)", a_token("admin"))
    edge.stop()


def said_in(shell: str, binding: Binding) -> tuple[int, str]:
    """The status and the answer of the example of a call."""
    command = example(binding, public_url()).replace("curl", "curl -s -w '\\n%{http_code}' --max-time 20", 1)
    if binding.rpc.streams:
        command = command.replace("--max-time 20", "--max-time 2")
    done = subprocess.run(["sh", "-c", f"{shell}\n{command}"], check=False, capture_output=True, text=True, timeout=60)
    assert not done.stderr, done.stderr
    answer, _, status = done.stdout.rpartition("\n")
    return int(status), answer


def order(binding: Binding) -> int:
    """Creations first, in the order in which one needs the other; deletions last."""
    name = binding.rpc.descriptor.name
    if name in CREATED_FIRST:
        return CREATED_FIRST.index(name)
    return 10 if name.startswith("Create") else 11 + ("GET", "PATCH", "POST", "DELETE").index(binding.verb)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_examples_work_as_printed(shell: str) -> None:
    wrong = {}
    for binding in sorted(bindings(), key=order):
        name = binding.rpc.descriptor.name
        status, answer = said_in(shell, binding)
        if status != REFUSED.get(name, 200):
            wrong[name] = (status, answer)
        if name == "CreateCampaign":
            _someone_in_it()
        if name == "CreateTicket":
            said_in(shell, binding)
            _two_in_quarantine()
    assert wrong == {}, wrong


def _two_in_quarantine() -> None:
    """Mails that nobody could read."""
    with support_database.transaction() as session:
        for _ in range(2):
            session.add(InboundMail(id=new_id(), state=InboundState.QUARANTINED, size=4, raw=b"\0\0\0\0"))


def _someone_in_it() -> None:
    """A recipient, which only a launch would make, in every campaign."""
    with campaigns_database.transaction() as session:
        for campaign in session.query(Campaign).all():
            session.add(
                Recipient(
                    campaign_id=campaign.id,
                    step=0,
                    person_id=new_id(),
                    message_id=new_id(),
                    state=RecipientState.SENT,
                    state_time=now(),
                )
            )
