import grpc
import pytest

from chassis.errors import InvalidArgument
from denda.notifications.v1 import templates_service_pb2 as pb
from denda.notifications.v1.templates_service_pb2_grpc import TemplatesServiceStub
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL, CHANNEL_SMS
from services.notifications import sms
from services.notifications.states import Channel
from services.notifications.templates import compile_content
from services.notifications.templates.compile import Source
from services.notifications.templates.languages import closest
from tests.kit.doors import Doors
from tests.notifications.things import a_template, a_variant, an_sms_template, fields_of

MJML = """<mjml>
<mj-body>{% if offers %}
  <mj-section><mj-column>
    <mj-text>Kaixo {{ given_name | default: "friend" }}</mj-text>
    <mj-table>{% for offer in offers %}<tr><td>{{ offer.name }}</td></tr>{% endfor %}</mj-table>
    <mj-button href="https://shop.example/spring?a=1&amp;b=2">Go</mj-button>
    <mj-button href="{{ unsubscribe_url }}">Leave</mj-button>
  </mj-column></mj-section>
{% endif %}</mj-body></mjml>"""


def stub_of(doors: Doors) -> TemplatesServiceStub:
    return doors.stub(TemplatesServiceStub, "notifications", "marketer")


def created(doors: Doors, *variants: pb.Variant, request_id: str = "") -> pb.Template:
    template = pb.Template(name="Spring", channel=CHANNEL_EMAIL, variants=variants)
    return stub_of(doors).CreateTemplate(pb.CreateTemplateRequest(template=template, request_id=request_id))


def refused(**parts: str) -> str:
    fields = {"language": "en", "subject": "News", "mjml": "", "html": "", "text": ""} | parts
    with pytest.raises(InvalidArgument) as caught:
        compile_content(Channel.EMAIL, [Source(**fields)])
    return str(caught.value)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"html": "<p>\n{{ name</p>"}, "template.variants[0].html: line 2"),
        ({"html": "<p>\n{% if a %}x</p>"}, "line 2: expected tag endif"),
        ({"html": "a\nb {{ x | shout }}"}, "line 2: there is no filter 'shout'"),
        ({"text": "{% include 'other' %}"}, "template.variants[0].text: line 1: unexpected tag 'include'"),
        ({"mjml": "<mjml>\n<mj-body>\n<mj-buton/></mj-body></mjml>"}, "line 3: MJML has no element <mj-buton>"),
        ({"mjml": "<mjml><mj-body>\n\n<mj-section a=></mj-section></mj-body></mjml>"}, "line 3: not valid MJML"),
        ({"mjml": "<p>x</p>"}, "line 1: not valid MJML"),
        ({"mjml": '<mjml><mj-body><mj-include path="/etc/passwd"/></mj-body></mjml>'}, "not valid MJML"),
        ({"mjml": "<mjml>{% if x %}<mj-body></mj-body>{% endif %}</mjml>"}, "Liquid cannot stand at this place"),
        ({"text": "x", "subject": "Hello\n\n{{ name"}, "template.variants[0].subject: line 3"),
        ({"text": "x", "subject": " "}, "template.variants[0].subject: an email needs a subject"),
        ({}, "template.variants[0].text: an email needs MJML, HTML or text"),
        ({"mjml": "<mjml/>", "html": "<p/>"}, "give MJML or HTML, not both"),
        ({"text": "x", "language": "not a language"}, "template.variants[0].language"),
    ],
)
def test_what_is_wrong_is_named_with_part_and_line(parts: dict[str, str], expected: str) -> None:
    assert expected in refused(**parts)


def test_the_error_reaches_the_caller_and_nothing_is_kept(doors: Doors) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        created(doors, a_variant(), a_variant(language="eu", html="<p>{{ a </p>"))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "template.variants[1].html: line 1" in str(caught.value.details())
    assert not stub_of(doors).ListTemplates(pb.ListTemplatesRequest()).templates


def test_two_variants_in_one_language_are_refused() -> None:
    source = Source("en", "News", "", "", "x")
    with pytest.raises(InvalidArgument, match="there is a variant in en before it"):
        compile_content(Channel.EMAIL, [source, Source("EN", "News", "", "", "y")])


def test_an_sms_has_text_and_nothing_else() -> None:
    with pytest.raises(InvalidArgument, match=r"variants\[0\].subject: only an email has one"):
        compile_content(Channel.SMS, [Source("en", "News", "", "", "x")])
    with pytest.raises(InvalidArgument, match=r"variants\[0\].text: the text part is missing"):
        compile_content(Channel.SMS, [Source("en", "", "", "", " ")])


def test_inspecting_tells_fields_links_and_which_fields_have_a_default(doors: Doors) -> None:
    template = created(doors, a_variant(html="", mjml=MJML, subject="For {{ family_name }}"))
    found = stub_of(doors).InspectTemplate(pb.InspectTemplateRequest(template_id=template.id))
    optional = {field.name: field.optional for field in found.merge_fields}
    assert optional == {"family_name": False, "given_name": True, "offers": True}
    assert list(found.links) == ["https://shop.example/spring?a=1&b=2"]
    assert (found.version, found.channel) == (1, CHANNEL_EMAIL)


@pytest.mark.parametrize(
    ("text", "required", "optional"),
    [
        ("{% if city %}in {{ city }}{% endif %}", [], ["city"]),
        ("{% if city == 'Bilbo' %}{{ city }}{% endif %}", [], ["city"]),
        ("{% if a and b %}{{ a }}{{ b }}{% else %}{{ a }}{% endif %}", ["a"], ["b"]),
        ("{% unless a %}{{ b }}{% else %}{{ a }}{% endunless %}", ["b"], ["a"]),
        ("{{ a | default: b }}", ["b"], ["a"]),
        ("{{ a | upcase | default: 'x' }}", ["a"], []),
        ("{% for x in xs %}{{ x.name }}{{ y }}{% endfor %}", ["xs", "y"], []),
        ("{% assign z = a %}{{ z }}", ["a"], []),
        ("{% if age > 30 %}x{% endif %}", ["age"], []),
        ("{{ unsubscribe_url }}", [], []),
    ],
)
def test_a_field_is_optional_where_the_template_says_what_then(
    text: str, required: list[str], optional: list[str]
) -> None:
    content = compile_content(Channel.SMS, [Source("en", "", "", "", text)])
    assert (content.required, content.optional) == (required, optional)


def test_a_preview_shows_what_would_be_sent(doors: Doors) -> None:
    template = created(doors, a_variant(html="", mjml=MJML, subject="For {{ given_name }}"))
    values = fields_of(given_name="Ane <b>", offers=[{"name": "Bread & butter"}])
    seen = stub_of(doors).PreviewTemplate(pb.PreviewTemplateRequest(template_id=template.id, merge_fields=values))
    assert seen.subject == "For Ane <b>"
    assert "Kaixo Ane &lt;b&gt;" in seen.html
    assert "Bread &amp; butter" in seen.html
    assert 'href="https://shop.example/spring?a=1&amp;b=2"' in seen.html
    assert "Kaixo Ane <b>" in seen.text
    assert "Go: https://shop.example/spring?a=1&b=2" in seen.text
    assert "/u/preview" in seen.text


def test_a_preview_names_every_missing_field(doors: Doors) -> None:
    template = created(doors, a_variant(subject="{{ a }} {{ b }}", html="<p>{{ c | default: 1 }}</p>"))
    with pytest.raises(grpc.RpcError) as caught:
        stub_of(doors).PreviewTemplate(pb.PreviewTemplateRequest(template_id=template.id, merge_fields=fields_of(c=1)))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "merge_fields.a" in str(caught.value.details())


def test_a_template_that_would_run_forever_is_stopped(doors: Doors) -> None:
    text = "{% for a in (1..1000) %}{% for b in (1..1000) %}x{% endfor %}{% endfor %}"
    template = an_sms_template(doors, text)
    with pytest.raises(grpc.RpcError) as caught:
        stub_of(doors).PreviewTemplate(pb.PreviewTemplateRequest(template_id=template.id))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "limit" in str(caught.value.details())


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("es-MX", "es"),
        ("es", "es"),
        ("eu-ES", "en"),
        ("", "en"),
        ("ES_mx", "es"),
        ("pt-BR-x-old", "pt-BR"),
        ("pt", "en"),
    ],
)
def test_the_closest_language_is_chosen(wanted: str, expected: str) -> None:
    languages = ["en", "es", "pt-BR"]
    assert languages[closest(languages, wanted)] == expected


def test_versions_are_added_under_the_etag_and_never_change(doors: Doors) -> None:
    stub = stub_of(doors)
    first = created(doors, a_variant(subject="One"))
    change = pb.Template(
        id=first.id, name="Summer", channel=CHANNEL_EMAIL, variants=[a_variant(subject="Two")], etag=first.etag
    )
    second = stub.UpdateTemplate(pb.UpdateTemplateRequest(template=change))
    assert (second.version, second.name, second.variants[0].subject) == (2, "Summer", "Two")
    with pytest.raises(grpc.RpcError) as caught:
        stub.UpdateTemplate(pb.UpdateTemplateRequest(template=change))
    assert caught.value.code() == grpc.StatusCode.ABORTED
    assert stub.GetTemplate(pb.GetTemplateRequest(id=first.id, version=1)).variants[0].subject == "One"
    assert stub.GetTemplate(pb.GetTemplateRequest(id=first.id)).version == 2
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetTemplate(pb.GetTemplateRequest(id=first.id, version=3))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_repeated_request_answers_the_template_of_the_first(doors: Doors) -> None:
    first = created(doors, a_variant(), request_id="r-1")
    again = created(doors, a_variant(subject="Another"), request_id="r-1")
    assert again == first


def test_templates_are_listed_by_creation_without_their_content(doors: Doors) -> None:
    made = [a_template(doors) for _ in range(3)]
    page = stub_of(doors).ListTemplates(pb.ListTemplatesRequest(page_size=2))
    rest = stub_of(doors).ListTemplates(pb.ListTemplatesRequest(page_size=2, page_token=page.next_page_token))
    assert [each.id for each in [*page.templates, *rest.templates]] == [each.id for each in made]
    assert not page.templates[0].variants


def test_the_channel_of_a_template_is_fixed(doors: Doors) -> None:
    template = a_template(doors)
    template.channel = CHANNEL_SMS
    del template.variants[:]
    template.variants.append(pb.Variant(language="en", text="x"))
    with pytest.raises(grpc.RpcError) as caught:
        stub_of(doors).UpdateTemplate(pb.UpdateTemplateRequest(template=template))
    assert "template.channel" in str(caught.value.details())


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", 0),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("ñ" * 160, 1),
        ("ç" * 70, 1),
        ("ç" * 71, 2),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
    ],
)
def test_sms_are_counted_in_segments(text: str, segments: int) -> None:
    assert sms.segments(text) == segments
