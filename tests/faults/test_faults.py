"""Campaigns over real SMTP and RabbitMQ while processes, broker and database are killed under them."""

import random
import time

import pytest

from tests.faults.conftest import LONG, PEOPLE
from tests.faults.promise import assert_kept, patiently
from tests.kit.broadcast import launch
from tests.kit.world import World

KILLS = 20 if LONG else 4
VICTIMS = ("notifications", "campaigns", "contacts", "identity")
# Slow enough that the campaign is still under way when the next one dies.
STALL = 0.02
# The second deferral of a mail rests for half a minute, the third for two minutes, a fourth would for ten.
MOST_DEFERRALS = 3 if LONG else 2
PATIENCE = 600 if LONG else 240
# Printed, so that a run that failed can be repeated with the same moments.
SEED = random.randrange(10**6)


@pytest.mark.timeout(3600 if LONG else 400)
def test_killing_processes_at_random_moments_loses_and_doubles_nothing(machine: World) -> None:
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    kills = 0
    while kills < KILLS:
        machine.sink.clear()
        machine.sink.configure(stall=STALL)
        campaign = patiently(lambda: launch(machine, PEOPLE))
        for _ in range(min(KILLS - kills, 5)):
            time.sleep(chance.uniform(0.1, 1.5))
            victim = VICTIMS[kills % len(VICTIMS)]
            machine.installation.kill(victim)
            machine.installation.start(victim)
            kills += 1
        results = assert_kept(machine, campaign.id, PEOPLE)
        print(f"{kills} kills, {results.sent} sent, {results.unknown} unknown")


@pytest.mark.timeout(400)
def test_a_restart_of_the_broker_loses_and_doubles_nothing(machine: World) -> None:
    machine.sink.configure(stall=STALL)
    campaign = launch(machine, PEOPLE)
    time.sleep(0.5)
    machine.node.restart()
    results = assert_kept(machine, campaign.id, PEOPLE)
    assert results.sent == PEOPLE


@pytest.mark.timeout(400)
def test_a_restart_of_the_database_loses_and_doubles_nothing(machine: World) -> None:
    machine.sink.configure(stall=STALL)
    campaign = launch(machine, PEOPLE)
    time.sleep(1)
    machine.database.restart()
    results = assert_kept(machine, campaign.id, PEOPLE)
    print(f"{results.sent} sent, {results.unknown} unknown")


@pytest.mark.timeout(1_200 if LONG else 400)
def test_an_smtp_server_that_misbehaves_at_random_gets_each_mail_once(machine: World) -> None:
    machine.sink.configure(stall=0.005, defer=0.06, defer_data=0.02, most_deferrals=MOST_DEFERRALS)
    machine.sink.configure(refuse=0.05, drop_before=0.03, drop_after=0.02)
    campaign = launch(machine, PEOPLE)
    results = assert_kept(machine, campaign.id, PEOPLE, seconds=PATIENCE)
    print(f"{results.sent} sent, {results.bounced} bounced, {results.unknown} unknown")
    # Addresses that were refused here are suppressed; the other tests need them again.
    with machine.tables("notifications") as notifications:
        notifications.execute("DELETE FROM suppression")
