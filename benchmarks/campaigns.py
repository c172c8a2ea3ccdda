"""A campaign from launch to the last record, beside four bare smtplib connections that push the same mails.

Then its course: the rate and each process's memory while it goes on, and that memory does not grow with the audience.
"""

import smtplib
import threading
import time

from rich.table import Table

from benchmarks.report import Figure, console, show, stopwatch
from tests.kit.broadcast import finish, launch, run
from tests.kit.smtp import Mail, SmtpSink
from tests.kit.world import World

SAMPLE, COUNT, COURSE = 1_000, 50_000, 200_000
SMALL, LARGE = 10_000, 100_000
CONNECTIONS = 4


def measure(world: World) -> None:
    """The rate of a campaign of 50,000, the raw limit measured before and after it."""
    mails = _finished_mails(world)
    before = _bare_rate(world.sink, mails)
    with stopwatch() as watch:
        run(world, COUNT)
    after = _bare_rate(world.sink, mails)
    limit_name = f"{CONNECTIONS} bare smtplib connections, same mails"
    show(
        [Figure(f"campaign of {COUNT:,} mails", COUNT / watch.seconds, limit_name, (before + after) / 2, 0.4, "mails")]
    )


def course(world: World) -> None:
    """Memory after a small and a large campaign, and rate and memory over the course of the largest."""
    memory = {}
    for count in (SMALL, LARGE):
        run(world, count)
        memory[count] = world.installation.memory()
    table = Table("process", f"after {SMALL:,}", f"after {LARGE:,}", "grown by")
    for name, small in memory[SMALL].items():
        large = memory[LARGE][name]
        table.add_row(name, f"{small / 2**20:.0f} MiB", f"{large / 2**20:.0f} MiB", f"{large / small - 1:+.1%}")
    console.print(table)
    _show_course(world)


def _show_course(world: World) -> None:
    campaign = launch(world, COURSE)
    table = Table("sent", "mails/s since the last line", "memory of all processes")
    world.sink.clear()
    seen, since = 0, time.perf_counter()
    for line in range(1, 9):
        while world.sink.count() < line * COURSE / 8:
            time.sleep(0.2)
        count, now = world.sink.count(), time.perf_counter()
        total = sum(world.installation.memory().values())
        table.add_row(f"{count:,}", f"{(count - seen) / (now - since):,.0f}", f"{total / 2**20:.0f} MiB")
        seen, since = count, now
    console.print(table)
    finish(world, campaign)


def _finished_mails(world: World) -> list[Mail]:
    """A sample of mails as the campaign makes them, taken from a small one."""
    world.sink.configure(keep=True)
    run(world, SAMPLE)
    mails = world.sink.mails()
    world.sink.clear()
    return mails


def _bare_rate(sink: SmtpSink, mails: list[Mail], count: int = 20_000) -> float:
    """Mails a second that four threads with a plain smtplib connection each push into the sink."""

    def push() -> None:
        with smtplib.SMTP(sink.host, sink.port) as connection:
            for number in range(count // CONNECTIONS):
                mail = mails[number % len(mails)]
                connection.sendmail("shop@shop.example", [mail.recipient], mail.text.encode())

    sink.clear()
    threads = [threading.Thread(target=push) for _ in range(CONNECTIONS)]
    with stopwatch() as watch:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    sink.clear()
    return count / watch.seconds
