"""A campaign from launch to the last record, beside four bare smtplib connections that push the same mails.

Then its course: the rate and each process's memory while it goes on, and that memory does not grow with the audience.
"""

import smtplib
import threading
import time

from rich.table import Table

from benchmarks.report import Figure, console, show, stopwatch
from benchmarks.world import World
from denda.campaigns.v1 import campaign_pb2, campaigns_service_pb2
from denda.campaigns.v1.campaigns_service_pb2_grpc import CampaignsServiceStub
from denda.contacts.v1 import segments_service_pb2
from denda.contacts.v1.segments_service_pb2_grpc import SegmentsServiceStub
from denda.notifications.v1 import templates_service_pb2
from denda.notifications.v1.templates_service_pb2_grpc import TemplatesServiceStub
from denda.types.v1.channel_pb2 import Channel
from tests.support.smtp import Mail, SmtpSink

SAMPLE, COUNT, COURSE = 1_000, 50_000, 200_000
SMALL, LARGE = 10_000, 100_000
CONNECTIONS = 4

HTML = """<html><body style="font-family: sans-serif">
<h1>Kaixo, {{ given_name }}!</h1>
<p>You live in {{ city }} and have spent {{ spent }} with us so far. This week the market stalls of
{{ city }} have cheese from Idiazabal, beans from Tolosa and cider from Astigarraga, and we have put
a basket of all three together for the family {{ family_name }}.</p>
{% if number > 1000 %}<p>You are among our newer customers: welcome.</p>{% endif %}
<p><a href="https://shop.example/baskets/spring">See the basket</a> or
<a href="https://shop.example/visit">come and taste it</a>.</p>
</body></html>"""
TEXT = """Kaixo, {{ given_name }}!

You live in {{ city }} and have spent {{ spent }} with us so far. This week we have put a basket of cheese,
beans and cider together for the family {{ family_name }}.

https://shop.example/baskets/spring
"""


def measure(world: World) -> None:
    """The rate of a campaign of 50,000, the raw limit measured before and after it."""
    mails = _finished_mails(world)
    before = _bare_rate(world.sink, mails)
    with stopwatch() as watch:
        _run(world, COUNT)
    after = _bare_rate(world.sink, mails)
    limit_name = f"{CONNECTIONS} bare smtplib connections, same mails"
    show(
        [Figure(f"campaign of {COUNT:,} mails", COUNT / watch.seconds, limit_name, (before + after) / 2, 0.4, "mails")]
    )


def course(world: World) -> None:
    """Memory after a small and a large campaign, and rate and memory over the course of the largest."""
    memory = {}
    for count in (SMALL, LARGE):
        _run(world, count)
        memory[count] = world.installation.memory()
    table = Table("process", f"after {SMALL:,}", f"after {LARGE:,}", "grown by")
    for name, small in memory[SMALL].items():
        large = memory[LARGE][name]
        table.add_row(name, f"{small / 2**20:.0f} MiB", f"{large / 2**20:.0f} MiB", f"{large / small - 1:+.1%}")
    console.print(table)
    _show_course(world)


def _show_course(world: World) -> None:
    campaign = _launch(world, COURSE)
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
    _finish(world, campaign)


def _finished_mails(world: World) -> list[Mail]:
    """A sample of mails as the campaign makes them, taken from a small one."""
    world.sink.configure(keep=True)
    _run(world, SAMPLE)
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


def _run(world: World, count: int) -> None:
    """Launch to the first `count` customers and wait until every one has an outcome."""
    _finish(world, _launch(world, count))


def _launch(world: World, count: int) -> campaign_pb2.Campaign:
    segments = SegmentsServiceStub(world.installation.channel("contacts"))
    campaigns = CampaignsServiceStub(world.installation.channel("campaigns"))
    name = f"first {count:,} at {time.monotonic()}"
    segment = segments_service_pb2.Segment(name=name, filter=f"number < {count}")
    campaign = campaign_pb2.Campaign(
        name=name,
        channel=Channel.CHANNEL_EMAIL,
        segment_id=segments.CreateSegment(segments_service_pb2.CreateSegmentRequest(segment=segment)).id,
        template_id=_template(world, name),
        purpose="marketing",
        sender="Shop <shop@shop.example>",
        track=True,
    )
    made = campaigns.CreateCampaign(campaigns_service_pb2.CreateCampaignRequest(campaign=campaign))
    launched: campaign_pb2.Campaign = campaigns.LaunchCampaign(
        campaigns_service_pb2.LaunchCampaignRequest(id=made.id), timeout=60
    )
    return launched


def _template(world: World, name: str) -> str:
    variant = templates_service_pb2.Variant(
        language="en", subject="A basket for {{ given_name }}", html=HTML, text=TEXT
    )
    template = templates_service_pb2.Template(name=name, channel=Channel.CHANNEL_EMAIL, variants=[variant])
    stub = TemplatesServiceStub(world.installation.channel("notifications"))
    return str(stub.CreateTemplate(templates_service_pb2.CreateTemplateRequest(template=template)).id)


def _finish(world: World, campaign: campaign_pb2.Campaign) -> None:
    stub = CampaignsServiceStub(world.installation.channel("campaigns"))
    last = None
    for last in stub.WatchCampaign(campaigns_service_pb2.WatchCampaignRequest(id=campaign.id)):
        pass
    if last is None or last.results.sent + last.results.delivered != last.results.recipients:
        raise RuntimeError(f"not everybody was sent to: {last}")
