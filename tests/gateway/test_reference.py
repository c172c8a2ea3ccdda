"""The reference: an OpenAPI document that is one, and a page that everybody can read."""

from typing import Any

from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from services.gateway.reference.comments import comment
from services.gateway.reference.document import document
from services.gateway.rest.bindings import bindings
from tests.gateway.test_pages import Document


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
