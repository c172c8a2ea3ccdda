"""Views: kept for their owner, shown to others where shared, and narrowed by a list's own filter."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from denda.support.v1 import ticket_pb2
from denda.support.v1 import views_service_pb2 as pb
from tests.support.conftest import AGENT, OTHER_AGENT, Support, refused


def a_view(support: Support, name: str = "Parcels", **fields: Any) -> pb.View:
    return support.views.CreateView(pb.CreateViewRequest(view=pb.View(name=name, **fields)))


def update(support: Support, view: pb.View, *paths: str) -> pb.View:
    request = pb.UpdateViewRequest(view=view)
    request.update_mask.paths.extend(paths)
    return support.views.UpdateView(request)


def names(support: Support) -> list[str]:
    return [view.name for view in support.views.ListViews(pb.ListViewsRequest()).views]


def test_a_view_belongs_to_who_made_it(support: Support) -> None:
    view = a_view(support, filter='tags:"parcel"', owner="user:somebody-else")
    assert view.owner == f"user:{AGENT}"


def test_a_list_is_narrowed_within_its_view(support: Support) -> None:
    for subject, tags in (("a", ["parcel"]), ("b", ["letter"]), ("c", ["gift"])):
        support.a_ticket(subject=subject, tags=tags)
    view = a_view(support, filter='tags:"parcel" OR tags:"letter"', order=ticket_pb2.TICKET_ORDER_CREATED)
    assert support.found(view_id=view.id) == ["b", "a"]
    # Without parentheses the second half of the view's OR would escape the list's own filter.
    assert support.found('subject = "a" OR subject = "c"', view_id=view.id) == ["a"]


def test_the_order_of_a_list_wins_over_its_views(support: Support) -> None:
    support.a_ticket(subject="low", priority=ticket_pb2.PRIORITY_LOW)
    support.a_ticket(subject="urgent", priority=ticket_pb2.PRIORITY_URGENT)
    support.a_ticket(subject="newest")
    view = a_view(support, order=ticket_pb2.TICKET_ORDER_CREATED)
    assert support.found(view_id=view.id) == ["newest", "urgent", "low"]
    by_priority = support.found(view_id=view.id, order=ticket_pb2.TICKET_ORDER_PRIORITY)
    assert by_priority == ["urgent", "newest", "low"]


@pytest.mark.parametrize("wrong", ['stat = "OPEN"', 'state = "AJAR"', "tags:", 'text("")'])
def test_a_view_that_cannot_be_used_is_not_kept(support: Support, wrong: str) -> None:
    attempts: tuple[Callable[[], object], ...] = (
        lambda: a_view(support, filter=wrong),
        lambda: update(support, pb.View(id=a_view(support).id, filter=wrong), "filter"),
    )
    for attempt in attempts:
        with refused() as refusal:
            attempt()
        assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("filter",))


def test_mine_in_a_shared_view_means_whoever_looks(speaking: Callable[..., Support]) -> None:
    ane, jon = speaking("agent"), speaking("agent", user=OTHER_AGENT)
    ane.a_ticket(subject="Ane's", assignee_id=AGENT)
    ane.a_ticket(subject="Jon's", assignee_id=OTHER_AGENT)
    view = a_view(ane, filter="mine()", shared=True)
    assert ane.found(view_id=view.id) == ["Ane's"]
    assert jon.found(view_id=view.id) == ["Jon's"]


def test_a_name_is_taken_once_by_each_owner(speaking: Callable[..., Support]) -> None:
    ane, jon = speaking("agent"), speaking("agent", user=OTHER_AGENT)
    a_view(ane)
    a_view(jon)
    with refused() as refusal:
        a_view(ane, name=" Parcels ")
    assert refusal.code == grpc.StatusCode.ALREADY_EXISTS


def test_others_see_a_view_when_it_is_shared_and_only_its_owner_changes_it(speaking: Callable[..., Support]) -> None:
    ane, jon = speaking("agent"), speaking("agent", user=OTHER_AGENT)
    view = a_view(ane)
    assert names(jon) == []
    for attempt in (
        lambda: jon.views.GetView(pb.GetViewRequest(id=view.id)),
        lambda: jon.found(view_id=view.id),
        lambda: jon.views.DeleteView(pb.DeleteViewRequest(id=view.id)),
    ):
        with refused() as refusal:
            attempt()
        assert refusal.code == grpc.StatusCode.NOT_FOUND
    update(ane, pb.View(id=view.id, shared=True), "shared")
    assert names(jon) == ["Parcels"]
    with refused() as refusal:
        update(jon, pb.View(id=view.id, name="Mine"), "name")
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_THE_OWNER")
    speaking("admin", user=OTHER_AGENT).views.DeleteView(pb.DeleteViewRequest(id=view.id))
    assert names(ane) == []


def test_a_stale_etag_changes_nothing(support: Support) -> None:
    view = a_view(support)
    update(support, pb.View(id=view.id, shared=True), "shared")
    with refused() as refusal:
        update(support, view, "shared")
    assert refusal.code == grpc.StatusCode.ABORTED
