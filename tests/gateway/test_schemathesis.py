"""Requests made from the OpenAPI document, right ones and wrong ones: no 5xx, and answers as their schemas say."""

from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from services.gateway.app import create_app
from services.gateway.rest.streams import LINES
from tests.gateway.conftest import Serve
from tests.kit.tokens import a_token

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
# For each call, so that all of them take some seconds.
EXAMPLES = 5
Case = schemathesis.Case[Any]


@pytest.fixture
def send(serve: Serve) -> Callable[[Case], None]:
    serve("contacts", "campaigns", "notifications", "support")
    token = a_token("admin")

    def send(case: Case) -> None:
        # Who watches gets the first answer at once, and would wait for the end for some minutes.
        seconds = 2 if LINES in str(case.operation.definition.raw["responses"]) else 20
        headers = {"Authorization": f"Bearer {token}", "Grpc-Timeout": f"{seconds}S"}
        case.call_and_validate(headers=headers, checks=CHECKS)

    return send


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_call_keeps_to_its_document(mode: GenerationMode, send: Callable[[Case], None]) -> None:
    document = schemathesis.openapi.from_wsgi("/openapi.json", create_app())
    for found in document.get_all_operations():
        assert isinstance(found, Ok), found.err()
        operation = found.ok()
        if mode is GenerationMode.NEGATIVE and not (operation.body or list(operation.iter_parameters())):
            # Nothing can be wrong with nothing.
            continue
        strategy = operation.as_strategy(generation_mode=mode)
        hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )(hypothesis.given(strategy)(send))()
