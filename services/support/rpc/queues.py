"""QueuesService: where tickets wait; the contract is denda/support/v1/queues_service.proto."""

from chassis import requests
from chassis.auth import caller
from chassis.ids import parse_id
from chassis.server import Call
from denda.support.v1 import queues_service_pb2 as pb
from denda.support.v1 import queues_service_pb2_grpc as grpc_pb
from services.support import queues
from services.support.models import database
from services.support.translate import changes_from_proto, queue_to_proto


class QueuesServicer(grpc_pb.QueuesServiceServicer):
    """The door to queues."""

    def CreateQueue(self, request: pb.CreateQueueRequest, context: Call) -> pb.Queue:
        changes = changes_from_proto(request.queue, (), queues.CHANGEABLE)
        with database.transaction() as session:
            queue_id, repeated = requests.id_for(session, "queue", request.request_id)
            queue = queues.get(session, queue_id) if repeated else queues.create(session, queue_id, changes)
            return queue_to_proto(queue)

    def GetQueue(self, request: pb.GetQueueRequest, context: Call) -> pb.Queue:
        with database.transaction() as session:
            return queue_to_proto(queues.get(session, parse_id(request.id)))

    def ListQueues(self, request: pb.ListQueuesRequest, context: Call) -> pb.ListQueuesResponse:
        with database.transaction() as session:
            found, token = queues.page(session, request)
            return pb.ListQueuesResponse(queues=map(queue_to_proto, found), next_page_token=token)

    def UpdateQueue(self, request: pb.UpdateQueueRequest, context: Call) -> pb.Queue:
        queue_id = parse_id(request.queue.id, "queue.id")
        changes = changes_from_proto(request.queue, request.update_mask.paths, queues.CHANGEABLE)
        with database.transaction() as session:
            return queue_to_proto(queues.update(session, queue_id, changes, request.queue.etag))

    def DeleteQueue(self, request: pb.DeleteQueueRequest, context: Call) -> pb.DeleteQueueResponse:
        with database.transaction() as session:
            queues.remove(session, parse_id(request.id), caller().subject, request.etag)
            return pb.DeleteQueueResponse()
