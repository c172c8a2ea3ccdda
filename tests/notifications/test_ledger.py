from denda.notifications.v1 import messages_service_pb2 as pb
from denda.notifications.v1.events_pb2 import MessagesChanged
from denda.notifications.v1.message_pb2 import MESSAGE_STATE_SENT
from tests.notifications.things import a_plan, a_template, accepted, messages_stub, sent
from tests.support.doors import Doors


def test_a_campaign_that_is_planned_twice_is_sent_and_told_once(doors: Doors) -> None:
    plan = a_plan(a_template(doors), people=3)
    accepted(plan, plan)
    sent()
    found = messages_stub(doors).ListMessages(pb.ListMessagesRequest(campaign_id=plan.campaign_id)).messages
    assert [message.state for message in found] == [MESSAGE_STATE_SENT] * 3
    kept = messages_stub(doors).ListSandboxMessages(pb.ListSandboxMessagesRequest()).messages
    assert {message.id for message in kept} == {message.id for message in found}
    changed = [change for event in doors.events("notifications") for change in event.changes]
    assert sorted(change.message_id for change in changed) == sorted(message.id for message in found)
    assert {change.summary for change in changed} == {"News for Ane 0", "News for Ane 1", "News for Ane 2"}
    told = messages_stub(doors).ListMessageEvents(pb.ListMessageEventsRequest(message_id=found[0].id)).events
    assert [event.kind for event in told] == ["accepted", "sent"]


def test_changes_carry_the_version_that_counts_them(doors: Doors) -> None:
    accepted(a_plan(a_template(doors)))
    sent()
    [event] = [event for event in doors.events("notifications") if isinstance(event, MessagesChanged)]
    assert [change.version for change in event.changes] == [2]
