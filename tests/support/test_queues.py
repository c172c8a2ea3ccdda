"""Queues: one default, one queue for an address, and no ticket without a queue."""

from collections.abc import Callable

import grpc

from denda.support.v1 import queues_service_pb2 as pb
from tests.kit.doors import Doors
from tests.support.conftest import Support, refused


def default_queue(support: Support) -> pb.Queue:
    (found,) = [one for one in support.queues.ListQueues(pb.ListQueuesRequest()).queues if one.is_default]
    return found


def update(support: Support, queue: pb.Queue, *paths: str) -> pb.Queue:
    request = pb.UpdateQueueRequest(queue=queue)
    request.update_mask.paths.extend(paths)
    return support.queues.UpdateQueue(request)


def test_a_new_installation_has_a_queue_for_everything(support: Support) -> None:
    assert support.a_ticket().queue_id == default_queue(support).id


def test_addresses_are_kept_in_small_letters_in_their_order(support: Support) -> None:
    queue = support.a_queue("Parcels", " Parcels@Shop.Example ", "lost@shop.example", "PARCELS@shop.example")
    assert list(queue.addresses) == ["parcels@shop.example", "lost@shop.example"]
    queue.addresses[:] = ["lost@shop.example", "new@shop.example"]
    assert list(update(support, queue, "addresses").addresses) == ["lost@shop.example", "new@shop.example"]
    assert support.queues.GetQueue(pb.GetQueueRequest(id=queue.id)).addresses[0] == "lost@shop.example"


def test_what_cannot_be_an_address_is_refused(support: Support) -> None:
    with refused() as refusal:
        support.a_queue("Parcels", "no address")
    assert (refusal.code, refusal.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("queue.addresses",))


def test_an_address_belongs_to_one_queue_and_the_refusal_names_it(support: Support) -> None:
    support.a_queue("Parcels", "parcels@shop.example")
    with refused() as refusal:
        support.a_queue("Letters", "PARCELS@shop.example")
    assert refusal.code == grpc.StatusCode.ALREADY_EXISTS
    assert "'Parcels'" in refusal.message
    assert "parcels@shop.example" in refusal.message


def test_a_name_is_taken_once(support: Support) -> None:
    support.a_queue("Parcels")
    other = support.a_queue("Letters")
    attempts: tuple[Callable[[], object], ...] = (
        lambda: support.a_queue(" Parcels "),
        lambda: update(support, pb.Queue(id=other.id, name="Parcels"), "name"),
    )
    for attempt in attempts:
        with refused() as refusal:
            attempt()
        assert refusal.code == grpc.StatusCode.ALREADY_EXISTS


def test_a_repeated_create_makes_one_queue(support: Support) -> None:
    request = pb.CreateQueueRequest(queue=pb.Queue(name="Parcels"), request_id="once")
    assert support.queues.CreateQueue(request) == support.queues.CreateQueue(request)


def test_making_another_queue_the_default_leaves_exactly_one(support: Support) -> None:
    parcels = support.a_queue("Parcels")
    parcels.is_default = True
    update(support, parcels, "is_default")
    assert default_queue(support).name == "Parcels"
    assert support.a_ticket().queue_id == parcels.id
    with refused() as refusal:
        update(support, pb.Queue(id=parcels.id), "is_default")
    assert refusal.fields == ("queue.is_default",)
    support.a_queue("Letters", is_default=True)
    assert default_queue(support).name == "Letters"


def test_a_deleted_queues_tickets_go_to_the_default_one(support: Support, doors: Doors) -> None:
    parcels = support.a_queue("Parcels", "parcels@shop.example")
    ticket = support.a_ticket(queue_id=parcels.id)
    support.queues.DeleteQueue(pb.DeleteQueueRequest(id=parcels.id))
    moved = support.get(ticket.id)
    assert moved.queue_id == default_queue(support).id
    assert moved.etag != ticket.etag
    entry = support.history(ticket.id)[-1]
    assert (entry.kind, entry.before, entry.after) == ("queued", parcels.id, moved.queue_id)
    assert doors.events("support")[-1].changes[0].queue_id == moved.queue_id
    support.a_queue("Letters", "parcels@shop.example")


def test_the_default_queue_cannot_be_deleted(support: Support) -> None:
    with refused() as refusal:
        support.queues.DeleteQueue(pb.DeleteQueueRequest(id=default_queue(support).id))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DEFAULT_QUEUE")


def test_a_stale_etag_changes_nothing(support: Support) -> None:
    queue = support.a_queue("Parcels")
    update(support, pb.Queue(id=queue.id, description="Lost ones too"), "description")
    queue.description = "None"
    for attempt in (
        lambda: update(support, queue, "description"),
        lambda: support.queues.DeleteQueue(pb.DeleteQueueRequest(id=queue.id, etag=queue.etag)),
    ):
        with refused() as refusal:
            attempt()
        assert refusal.code == grpc.StatusCode.ABORTED
    assert support.queues.GetQueue(pb.GetQueueRequest(id=queue.id)).description == "Lost ones too"


def test_queues_are_listed_by_name_in_pages(support: Support) -> None:
    for name in ("C", "A", "B"):
        support.a_queue(name)
    names, token = [], ""
    while True:
        page = support.queues.ListQueues(pb.ListQueuesRequest(page_size=2, page_token=token))
        names += [queue.name for queue in page.queues]
        token = page.next_page_token
        if not token:
            break
    assert names == ["A", "B", "C", "Everything"]


def test_only_administrators_change_queues(speaking: Callable[..., Support]) -> None:
    with refused() as refusal:
        speaking("agent").a_queue("Parcels")
    assert refusal.code == grpc.StatusCode.PERMISSION_DENIED
