"""Links between tickets, seen from both sides and through merges."""

import grpc

from tests.support.conftest import AGENT, Support, refused


def test_a_link_is_seen_from_both_sides_once(support: Support) -> None:
    one, other = support.a_ticket(), support.a_ticket()
    support.link(one.id, other.id)
    version = support.get(one.id).etag
    support.link(other.id, one.id)
    assert support.get(one.id).etag == version
    assert (support.linked(one.id), support.linked(other.id)) == ({other.id}, {one.id})
    assert [support.history(ticket.id)[-1].after for ticket in (one, other)] == [other.id, one.id]
    support.unlink(other.id, one.id)
    assert (support.linked(one.id), support.linked(other.id)) == (set(), set())
    assert [support.history(ticket.id)[-1].before for ticket in (one, other)] == [other.id, one.id]


def test_links_that_make_no_sense_are_refused(support: Support) -> None:
    one, part, target = support.a_ticket(), support.a_ticket(), support.a_ticket()
    support.merge(target.id, part.id)
    for other, code in (
        (one.id, grpc.StatusCode.INVALID_ARGUMENT),
        (AGENT, grpc.StatusCode.NOT_FOUND),
        (part.id, grpc.StatusCode.FAILED_PRECONDITION),
    ):
        with refused() as refusal:
            support.link(one.id, other)
        assert refusal.code == code


def test_links_lead_to_what_a_ticket_is_part_of_now(support: Support) -> None:
    one, part, target, other = (support.a_ticket() for _ in range(4))
    support.link(one.id, part.id)
    support.link(part.id, target.id)
    support.link(target.id, other.id)
    support.merge(target.id, part.id)
    assert support.linked(one.id) == {target.id}
    assert support.linked(target.id) == {one.id, other.id}
    support.unmerge(part.id)
    assert support.linked(one.id) == {part.id}
    assert support.linked(target.id) == {part.id, other.id}


def test_a_link_of_a_part_is_forgotten_from_the_whole(support: Support) -> None:
    one, part, target = (support.a_ticket() for _ in range(3))
    support.link(one.id, part.id)
    support.merge(target.id, part.id)
    support.unlink(target.id, one.id)
    assert support.linked(one.id) == set()
