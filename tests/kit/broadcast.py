"""An email campaign to the first customers of the customer file, through the doors that users have."""

import time

from denda.campaigns.v1 import campaign_pb2, campaigns_service_pb2
from denda.campaigns.v1.campaigns_service_pb2_grpc import CampaignsServiceStub
from denda.contacts.v1 import segments_service_pb2
from denda.contacts.v1.segments_service_pb2_grpc import SegmentsServiceStub
from denda.notifications.v1 import templates_service_pb2
from denda.notifications.v1.templates_service_pb2_grpc import TemplatesServiceStub
from denda.types.v1.channel_pb2 import Channel
from tests.kit.world import World

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


def run(world: World, count: int) -> None:
    """Send to the first `count` customers and wait until everybody has it; raises when somebody does not."""
    results = finish(world, launch(world, count))
    if results.sent + results.delivered != results.recipients:
        raise RuntimeError(f"not everybody was sent to: {results}")


def launch(world: World, count: int) -> campaign_pb2.Campaign:
    """A campaign to the first `count` customers, on its way."""
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


def finish(world: World, campaign: campaign_pb2.Campaign) -> campaign_pb2.Results:
    """The results when every recipient has an outcome."""
    stub = CampaignsServiceStub(world.installation.channel("campaigns"))
    updates = list(stub.WatchCampaign(campaigns_service_pb2.WatchCampaignRequest(id=campaign.id)))
    last: campaign_pb2.Results = updates[-1].results
    return last
