"""`make bench`: every figure beside its raw limit; `python -m benchmarks NAME…` measures some of them."""

import sys

from benchmarks import calls, campaigns, events, imports, inbound, tickets
from benchmarks.report import console
from tests.kit.installation import ONE_PROCESS_A_SERVICE
from tests.kit.world import world

# Imports come first: the others use the people that it leaves.
MEASURES = {
    "imports": imports.measure,
    "calls": calls.measure,
    "events": events.measure,
    "campaigns": campaigns.measure,
    "course": campaigns.course,
    "inbound": inbound.measure,
    "tickets": tickets.measure,
}


# As an installation that sends much is run: the senders apart from the doors, a process for each core, and together
# as many connections to the relay as the raw limit has.
PROCESSES = {
    **ONE_PROCESS_A_SERVICE,
    "notifications": ("notifications", "--role", "api", "--role", "relay"),
    "notifications-worker-1": ("notifications", "--role", "worker"),
    "notifications-worker-2": ("notifications", "--role", "worker"),
}


def main(names: list[str]) -> None:
    """Measure what is named, or everything."""
    if unknown := set(names) - set(MEASURES):
        sys.exit(f"There is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}.")
    with world(processes=PROCESSES, DENDA_SMTP_CONNECTIONS="2") as here:
        for name, measure in MEASURES.items():
            if name == "imports" or not names or name in names:
                console.rule(name)
                measure(here)


if __name__ == "__main__":
    main(sys.argv[1:])
