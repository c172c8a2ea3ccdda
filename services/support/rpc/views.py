"""ViewsService: filters that are kept; the contract is denda/support/v1/views_service.proto."""

from chassis import requests
from chassis.auth import caller
from chassis.ids import parse_id
from chassis.server import Call
from denda.support.v1 import views_service_pb2 as pb
from denda.support.v1 import views_service_pb2_grpc as grpc_pb
from services.support import views
from services.support.models import database
from services.support.translate import changes_from_proto, view_to_proto


class ViewsServicer(grpc_pb.ViewsServiceServicer):
    """The door to views."""

    def CreateView(self, request: pb.CreateViewRequest, context: Call) -> pb.View:
        changes, who = changes_from_proto(request.view, (), views.CHANGEABLE), caller()
        with database.transaction() as session:
            view_id, repeated = requests.id_for(session, f"view {who.subject}", request.request_id)
            if repeated:
                return view_to_proto(views.get(session, view_id, who))
            return view_to_proto(views.create(session, view_id, changes, who.subject))

    def GetView(self, request: pb.GetViewRequest, context: Call) -> pb.View:
        with database.transaction() as session:
            return view_to_proto(views.get(session, parse_id(request.id), caller()))

    def ListViews(self, request: pb.ListViewsRequest, context: Call) -> pb.ListViewsResponse:
        with database.transaction() as session:
            found, token = views.page(session, request, caller())
            return pb.ListViewsResponse(views=map(view_to_proto, found), next_page_token=token)

    def UpdateView(self, request: pb.UpdateViewRequest, context: Call) -> pb.View:
        view_id = parse_id(request.view.id, "view.id")
        changes = changes_from_proto(request.view, request.update_mask.paths, views.CHANGEABLE)
        with database.transaction() as session:
            return view_to_proto(views.update(session, view_id, changes, caller(), request.view.etag))

    def DeleteView(self, request: pb.DeleteViewRequest, context: Call) -> pb.DeleteViewResponse:
        with database.transaction() as session:
            views.remove(session, parse_id(request.id), caller(), request.etag)
            return pb.DeleteViewResponse()
