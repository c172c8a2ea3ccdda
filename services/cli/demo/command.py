"""`denda demo`: the demo's data into any installation."""

import click

from denda.campaigns.v1.campaigns_service_pb2_grpc import CampaignsServiceStub
from services.cli import session
from services.cli.campaigns import follow
from services.cli.demo.loading import load
from services.cli.screen import notes


@click.command(short_help="Load the demo into a running installation.")
@click.option("--people", "most", metavar="N", type=click.IntRange(min=1), help="Only the first N households.")
@click.option("--wait/--no-wait", default=True, help="Follow the campaigns until they are finished. Default: yes.")
def demo(most: int | None, *, wait: bool) -> None:
    """Load the demo into a running installation: people, segments, templates and three campaigns, which are launched.

    The people are 2,469 real households of a retailer with made-up names and addresses; it takes about a minute. It
    can be repeated without doubling anything. The sandbox provider keeps every message; with real providers, nothing
    can arrive, since the addresses belong to nobody.
    """
    campaigns = load(most)
    stub = CampaignsServiceStub(session.channel("campaigns"))
    for campaign_id in campaigns if wait else ():
        follow(stub, campaign_id)
    notes.print("The demo is loaded.")
