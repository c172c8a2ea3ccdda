"""TemplatesService; the contract is denda/notifications/v1/templates_service.proto."""

from sqlalchemy import select

from chassis.errors import InvalidArgument, Violation
from chassis.ids import parse_id
from chassis.paging import paginate
from chassis.server import Call
from denda.notifications.v1 import templates_service_pb2 as pb
from denda.notifications.v1 import templates_service_pb2_grpc as grpc_pb
from services import public_url
from services.notifications import clients, sms, templates, translate
from services.notifications.models import Template, database
from services.notifications.states import Channel
from services.notifications.templates.liquid import INTERNAL, RenderError
from services.notifications.templates.versions import Rendered, Variant, Version, version_of


class TemplatesServicer(grpc_pb.TemplatesServiceServicer):
    """Templates in versions that never change."""

    def CreateTemplate(self, request: pb.CreateTemplateRequest, context: Call) -> pb.Template:
        wanted = request.template
        channel = Channel(wanted.channel)
        content = templates.compile_content(channel, translate.sources_of(wanted.variants))
        with database.transaction() as session:
            stored = templates.create(session, wanted.name, channel, content, request.request_id)
            return translate.template_to_proto(stored)

    def GetTemplate(self, request: pb.GetTemplateRequest, context: Call) -> pb.Template:
        with database.transaction() as session:
            return translate.template_to_proto(templates.get(session, parse_id(request.id), request.version))

    def ListTemplates(self, request: pb.ListTemplatesRequest, context: Call) -> pb.ListTemplatesResponse:
        with database.transaction() as session:
            keys = [Template.create_time, Template.id]
            rows, token = paginate(session, select(Template), keys, request, fingerprint="templates")
            found = [translate.template_head_to_proto(row) for (row,) in rows]
            return pb.ListTemplatesResponse(templates=found, next_page_token=token)

    def UpdateTemplate(self, request: pb.UpdateTemplateRequest, context: Call) -> pb.Template:
        wanted = request.template
        channel = Channel(wanted.channel)
        content = templates.compile_content(channel, translate.sources_of(wanted.variants))
        with database.transaction() as session:
            stored = templates.update(
                session, parse_id(wanted.id, "template.id"), wanted.name, channel, content, etag=wanted.etag
            )
            return translate.template_to_proto(stored)

    def PreviewTemplate(self, request: pb.PreviewTemplateRequest, context: Call) -> pb.PreviewTemplateResponse:
        with database.transaction() as session:
            stored = templates.get(session, parse_id(request.template_id, "template_id"), request.version)
        fields, language = translate.plain(request.merge_fields), request.language
        if request.person_id:
            known = clients.person(str(parse_id(request.person_id, "person_id")))
            fields, language = known.merge_fields | fields, language or known.language
        version = version_of(stored.template.id, stored.version.version)
        variant = version.in_language(language)
        rendered = _rendered(version, variant, fields)
        is_sms = stored.template.channel == Channel.SMS
        return pb.PreviewTemplateResponse(
            language=variant.language,
            subject=rendered.subject,
            html=rendered.html,
            text=rendered.text,
            sms_segments=sms.segments(rendered.text.strip()) if is_sms else 0,
        )

    def InspectTemplate(self, request: pb.InspectTemplateRequest, context: Call) -> pb.InspectTemplateResponse:
        with database.transaction() as session:
            stored = templates.get(session, parse_id(request.template_id, "template_id"), request.version)
        named = [(name, False) for name in stored.version.required] + [(name, True) for name in stored.version.optional]
        return pb.InspectTemplateResponse(
            version=stored.version.version,
            channel=stored.template.channel,  # type: ignore[arg-type]  # the stubs want the enum's own type
            merge_fields=[pb.MergeField(name=name, optional=optional) for name, optional in sorted(named)],
            links=stored.version.links,
        )


def _rendered(version: Version, variant: Variant, fields: dict[str, object]) -> Rendered:
    """The content as it would be seen. Raises InvalidArgument that names the merge fields that are missing."""
    missing = sorted(variant.required - fields.keys())
    if missing:
        wrong = [Violation(f"merge_fields.{name}", "the template needs it and it is missing") for name in missing]
        raise InvalidArgument(wrong[0].field, wrong[0].description, *wrong[1:])
    links = {f"{INTERNAL}link_{number}": url for number, url in enumerate(version.links)}
    ways_out = {"unsubscribe_url": f"{public_url()}/u/preview", "preferences_url": f"{public_url()}/p/preview"}
    try:
        return variant.render({**fields, **links, **ways_out, f"{INTERNAL}pixel": ""})
    except RenderError as error:
        raise InvalidArgument("merge_fields", str(error)) from None
