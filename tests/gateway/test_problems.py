"""gRPC statuses as problem details: the HTTP status, the fields, and when to come back."""

from datetime import timedelta

import pytest

from chassis.errors import (
    Aborted,
    DendaError,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Violation,
)
from services.gateway.problems import problem_of_our_own


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("person", "x"), 404),
        (Aborted("Changed."), 409),
        (Unauthenticated("Who?"), 401),
        (PermissionDenied("No."), 403),
        (ResourceExhausted("Slowly."), 429),
        (Unavailable("Away."), 503),
        (Internal("Oh."), 500),
    ],
)
def test_each_status_has_its_http_status(error: DendaError, status: int) -> None:
    problem = problem_of_our_own(error).as_json()
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"] == error.message
    assert problem["reason"] == error.reason


def test_wrong_fields_are_named() -> None:
    problem = problem_of_our_own(InvalidArgument("email", "is empty", Violation("name", "is too long")))
    assert problem.as_json()["errors"] == [
        {"field": "email", "detail": "is empty"},
        {"field": "name", "detail": "is too long"},
    ]


def test_the_time_to_wait_is_the_services_own_where_it_says_one() -> None:
    said = problem_of_our_own(ResourceExhausted("Slowly.", retry_after=timedelta(seconds=7)))
    assert said.headers() == {"Retry-After": "7"}
    assert problem_of_our_own(Unavailable("Away.")).headers()["Retry-After"]
    assert problem_of_our_own(NotFound("person", "x")).headers() == {}
