"""REST through the real gateway on real services: what the contracts say, by JSON over HTTP."""

import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from services.gateway.rest import bindings as rules
from services.gateway.rest.asked import BODY_BYTES
from services.gateway.rest.bindings import bindings, find
from services.gateway.rest.calls import LONGEST
from services.gateway.settings import gateway_settings
from tests.gateway.conftest import Serve
from tests.kit.tokens import a_token

PROBLEM = "application/problem+json"


class Rest:
    """A program that speaks REST with a token of one role."""

    def __init__(self, client: FlaskClient, *roles: str) -> None:
        self.client = client
        self.headers = {"Authorization": f"Bearer {a_token(*roles)}"} if roles else {}

    def __call__(self, verb: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.open(path, method=verb, json=body, headers=self.headers | named)

    def a_person(self, **fields: Any) -> dict[str, Any]:
        made = self("POST", "/v1/people", {"person": {"givenName": "Ane"} | fields})
        assert made.status_code == 200, made.text
        return dict(made.get_json())


@pytest.fixture
def rest(serve: Serve, gateway: FlaskClient) -> Rest:
    serve("contacts")
    return Rest(gateway, "service")


def problem(answer: TestResponse, status: int) -> dict[str, Any]:
    assert (answer.status_code, answer.mimetype) == (status, PROBLEM), answer.text
    found: dict[str, Any] = answer.get_json()
    assert found["status"] == status
    return found


def fields_at_fault(answer: TestResponse) -> list[str]:
    return [error["field"] for error in problem(answer, 400)["errors"]]


def test_a_resource_is_created_read_listed_changed_and_deleted(rest: Rest) -> None:
    made = rest.a_person(tags=["vip"], addresses=[{"kind": "KIND_EMAIL", "value": "ane@shop.example"}])
    place = f"/v1/people/{made['id']}"
    assert rest("GET", place).get_json() == made
    assert made["addresses"][0] == {"kind": "KIND_EMAIL", "value": "ane@shop.example", "label": ""}
    assert rest("GET", "/v1/people").get_json() == {"people": [made], "nextPageToken": ""}
    changed = rest("PATCH", place, {"familyName": "Etxeberria"}).get_json()
    assert (changed["familyName"], changed["givenName"], changed["tags"]) == ("Etxeberria", "Ane", ["vip"])
    assert rest("DELETE", place).get_json() == {}
    assert problem(rest("GET", place), 404)["reason"] == "NOT_FOUND"


def test_every_annotated_rpc_has_its_route_and_no_other() -> None:
    for binding in bindings():
        path = rules.VARIABLE.sub("x1", binding.template)
        found = find(binding.verb, path)
        assert found
        assert found.binding is binding
        assert found.values == ("x1",) * len(binding.variables)
    assert {binding.rpc.descriptor.name for binding in bindings()}.isdisjoint({"StreamAudience", "ImportPeople"})


def test_a_patch_changes_what_its_body_has_also_to_nothing(rest: Rest) -> None:
    made = rest.a_person(tags=["vip"], familyName="Etxeberria")
    changed = rest("PATCH", f"/v1/people/{made['id']}", {"tags": [], "familyName": ""}).get_json()
    assert (changed["tags"], changed["familyName"], changed["givenName"]) == ([], "", "Ane")


def test_a_patch_need_not_repeat_what_the_resource_requires(rest: Rest) -> None:
    made = rest("POST", "/v1/companies", {"company": {"name": "Etxea"}}).get_json()
    place = f"/v1/companies/{made['id']}"
    assert rest("PATCH", place, {"tags": ["vip"]}).get_json()["name"] == "Etxea"
    assert fields_at_fault(rest("PATCH", place, {"name": ""})) == ["company.name"]


def test_a_mask_in_the_query_rules(rest: Rest) -> None:
    made = rest.a_person(familyName="Etxeberria")
    place = f"/v1/people/{made['id']}"
    changed = rest("PATCH", f"{place}?updateMask=familyName", {"familyName": "Goñi", "givenName": "Miren"}).get_json()
    assert (changed["familyName"], changed["givenName"]) == ("Goñi", "Ane")
    assert fields_at_fault(rest("PATCH", f"{place}?update_mask=nothing", {})) == ["update_mask"]


def test_what_was_read_can_be_sent_back_and_a_stale_etag_is_refused(rest: Rest) -> None:
    made = rest.a_person()
    changed = rest("PATCH", f"/v1/people/{made['id']}", made | {"givenName": "Miren"})
    assert changed.get_json()["givenName"] == "Miren"
    assert problem(rest("PATCH", f"/v1/people/{made['id']}", made), 409)["reason"] == "ETAG_MISMATCH"


def test_queries_hold_lists_numbers_and_names_of_either_spelling(rest: Rest) -> None:
    ids = {rest.a_person()["id"] for _ in range(3)}
    first, second, _ = ids
    got = rest("GET", f"/v1/people:batchGet?ids={first}&ids={second}").get_json()["people"]
    assert {person["id"] for person in got} == {first, second}
    page = rest("GET", "/v1/people?pageSize=2").get_json()
    rest_of_them = rest("GET", f"/v1/people?page_size=2&page_token={page['nextPageToken']}").get_json()
    assert {person["id"] for person in page["people"] + rest_of_them["people"]} == ids
    assert rest("GET", '/v1/people?filter=given_name = "Ane"&pageSize=1').status_code == 200


def test_fields_in_fields_are_said_with_dots(rest: Rest) -> None:
    said = find("GET", "/v1/segments:count")
    assert said
    answer = rest("GET", '/v1/segments:count?filter=given_name = "Ane"')
    assert answer.status_code == 200, answer.text
    assert answer.get_json()["count"] == "0"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("pageSize=many", "page_size"),
        ("pageSize=1&pageSize=2", "page_size"),
        ("pageSize=5000", "page_size"),
        ("nothing=1", "nothing"),
        ("pageToken=forged", "page_token"),
        ("filter=)", "filter"),
    ],
)
def test_a_wrong_parameter_is_named(rest: Rest, query: str, field: str) -> None:
    assert fields_at_fault(rest("GET", f"/v1/people?{query}")) == [field]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        (b"[]", "body"),
        (b'"text"', "body"),
        (b"\xff\xfe", "body"),
        (b"[" * 100_000, "body"),
        (b'{"person": {"attributes": {"x": NaN}}}', "body"),
        (b'{"person": {"attributes": {"x": 1e999}}}', "body"),
        (b'{"person": {}, "person": {}}', "body"),
        (b'{"nobody": {}}', "nobody"),
        (b'{"person": {"shoeSize": 43}}', "person.shoeSize"),
        (b'{"person": {"givenName": 5}}', "person.givenName"),
        (b'{"person": {"givenName": "\\ud800"}}', "person.givenName"),
        (b'{"person": {"addresses": [{"kind": "KIND_PIGEON"}]}}', "person.addresses.kind"),
        (b'{"person": {"createTime": "yesterday"}}', "person.createTime"),
        (b'{"person": {"addresses": [{"kind": "KIND_EMAIL", "value": ""}]}}', "person.addresses.value"),
        (b"{}", "person"),
    ],
)
def test_a_wrong_body_is_a_problem_that_names_the_place(rest: Rest, body: bytes, field: str) -> None:
    answer = rest.client.post("/v1/people", data=body, content_type="application/json", headers=rest.headers)
    assert fields_at_fault(answer) == [field]


def test_a_wrong_value_within_a_list_is_told_what_would_be_right(rest: Rest) -> None:
    body = {"person": {"addresses": [{"kind": "KIND_PIGEON"}]}}
    answer = rest.client.post("/v1/people", json=body, headers=rest.headers)
    assert "must be one of KIND_EMAIL, KIND_PHONE" in problem(answer, 400)["detail"]


def test_text_that_no_database_takes_is_refused(rest: Rest) -> None:
    assert problem(rest("POST", "/v1/people", {"person": {"givenName": "A\x00"}}), 400)
    assert problem(rest("GET", '/v1/people?filter=given_name = "%00"'), 400)


def test_path_and_body_have_to_agree(rest: Rest) -> None:
    made, other = rest.a_person(), rest.a_person()
    assert fields_at_fault(rest("PATCH", f"/v1/people/{made['id']}", {"id": other["id"]})) == ["person.id"]
    assert rest("PATCH", f"/v1/people/{made['id']}", {"id": made["id"], "givenName": "Miren"}).status_code == 200


def test_a_get_takes_no_body_and_a_post_only_json(rest: Rest) -> None:
    assert fields_at_fault(rest("GET", "/v1/people", {"pageSize": 1})) == ["body"]
    problem(rest.client.post("/v1/people", data="<person/>", content_type="text/xml", headers=rest.headers), 415)


def test_a_body_has_a_limit(rest: Rest) -> None:
    large = b'{"person": {"givenName": "' + b"x" * BODY_BYTES + b'"}}'
    problem(rest.client.post("/v1/people", data=large, content_type="application/json", headers=rest.headers), 413)
    template = rest("POST", "/v1/people", {"person": {"givenName": "x" * 200_000}})
    assert fields_at_fault(template) == ["person.given_name"]


def test_an_unknown_path_and_a_wrong_method_are_told(rest: Rest) -> None:
    problem(rest("GET", "/v1/nothing"), 404)
    problem(rest("GET", "/v1/campaigns/x:nothing"), 404)
    refused = rest("PUT", "/v1/people")
    problem(refused, 405)
    assert refused.headers["Allow"] == "GET, HEAD, POST, OPTIONS"
    problem(rest("TRACE", "/v1/people"), 405)
    assert rest("OPTIONS", "/v1/people").headers["Allow"] == "GET, HEAD, POST, OPTIONS"
    assert rest("HEAD", "/v1/people").status_code == 200
    assert rest("HEAD", "/v1/people").data == b""


def test_no_token_a_forged_one_and_the_wrong_role_are_refused(rest: Rest) -> None:
    nobody, viewer = Rest(rest.client), Rest(rest.client, "viewer")
    refused = nobody("GET", "/v1/people")
    problem(refused, 401)
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    for said in ("Bearer forged", "Bearer ", "Basic YTpi", "Bearer \u00e9", "ApiKey", "Bearer a b"):
        problem(nobody("GET", "/v1/people", Authorization=said), 401)
    assert viewer("GET", "/v1/people").status_code == 200
    problem(viewer("POST", "/v1/people", {"person": {"givenName": "Ane"}}), 403)


def test_public_calls_need_no_token(rest: Rest) -> None:
    assert "keys" in json.loads(Rest(rest.client)("GET", "/v1/keys").get_json()["jwksJson"])


def test_an_api_key_is_a_credential_until_it_is_revoked(rest: Rest) -> None:
    admin, program = Rest(rest.client, "admin"), Rest(rest.client)
    key = {"apiKey": {"displayName": "till", "roles": ["ROLE_VIEWER"]}}
    made = admin("POST", "/v1/apiKeys", key).get_json()
    secret = made["secret"]
    for headers in ({"X_Api_Key": secret}, {"Authorization": f"ApiKey {secret}"}):
        assert program("GET", "/v1/people", **headers).status_code == 200
        problem(program("POST", "/v1/people", {"person": {"givenName": "Ane"}}, **headers), 403)
    assert program("GET", "/v1/me", X_Api_Key=secret).get_json()["displayName"] == "till"
    problem(program("GET", "/v1/people", X_Api_Key="guessed"), 401)


def test_the_requests_id_goes_in_and_out(rest: Rest) -> None:
    assert rest("GET", "/v1/people", X_Request_Id="till-7-0001").headers["X-Request-Id"] == "till-7-0001"
    odd = rest("GET", "/v1/people", X_Request_Id="odd one!").headers["X-Request-Id"]
    assert odd != "odd one!"


def test_a_deadline_is_kept(rest: Rest) -> None:
    problem(rest("GET", "/v1/people", Grpc_Timeout="1n"), 504)
    assert rest("GET", "/v1/people", Grpc_Timeout="10S").status_code == 200
    assert fields_at_fault(rest("GET", "/v1/people", Grpc_Timeout="soon")) == ["Grpc-Timeout"]
    assert LONGEST < 1_000


@pytest.mark.usefixtures("services_away")
def test_services_that_are_away_are_said_to_be(gateway: FlaskClient) -> None:
    answer = Rest(gateway, "viewer")("GET", "/v1/people", Grpc_Timeout="2S")
    assert answer.status_code in {503, 504}
    assert answer.mimetype == PROBLEM
    assert "Retry-After" in answer.headers


def test_pages_of_other_origins_are_let_in_only_where_they_are_named(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = "https://shop.example"
    for verb in ("GET", "OPTIONS"):
        assert "Access-Control-Allow-Origin" not in rest(verb, "/v1/people", Origin=origin).headers
    monkeypatch.setenv("DENDA_CORS_ORIGINS", f"https://other.example, {origin}")
    gateway_settings.cache_clear()
    assert rest("GET", "/v1/people", Origin=origin).headers["Access-Control-Allow-Origin"] == origin
    assert "POST" in rest("OPTIONS", "/v1/people", Origin=origin).headers["Access-Control-Allow-Methods"]
    stranger = rest("GET", "/v1/people", Origin="https://evil.example").headers
    assert "Access-Control-Allow-Origin" not in stranger
    assert stranger["Vary"] == "Origin"
