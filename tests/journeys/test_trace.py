"""One trace follows a campaign from the call that launches it through the bus to the provider."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chassis.telemetry import collect
from tests.journeys.conftest import Shop
from tests.journeys.test_campaign import Marketer, import_customers
from tests.kit.events import eventually

# Sender threads leave their connections to the relay behind, as a process that ends does.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

LAUNCH = "/denda.campaigns.v1.CampaignsService/LaunchCampaign"
ON_THE_WAY = {LAUNCH, "plan", "consume campaigns.recipients.planned.v1", "send messages"}
AND_BACK = {"consume notifications.messages.changed.v1"}


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Every span that ends during the test. OpenTelemetry keeps one provider for good, which is deaf afterwards."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    collect(provider)
    yield exporter
    exporter.shutdown()


def test_one_trace_leads_from_the_launch_to_the_provider_and_back(shop: Shop, spans: InMemorySpanExporter) -> None:
    import_customers(shop, 20)
    marketer = Marketer(shop)
    marketer.watch(marketer.launch("Traced"))

    def told() -> bool:
        return {span.name for span in _of_the_launch(spans)} >= ON_THE_WAY | AND_BACK

    eventually(told)


def _of_the_launch(spans: InMemorySpanExporter) -> list[ReadableSpan]:
    """The spans in the trace that the launch began."""
    ended = spans.get_finished_spans()
    traces = {span.context.trace_id for span in ended if span.name == LAUNCH and span.context}
    return [span for span in ended if span.context and span.context.trace_id in traces]
