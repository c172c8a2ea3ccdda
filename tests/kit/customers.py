"""A customer file of any length, always the same, and the way in for it."""

from collections.abc import Iterator

from chassis.ids import new_id
from denda.contacts.v1 import imports_service_pb2 as pb
from denda.contacts.v1 import people_service_pb2, person_pb2
from denda.contacts.v1.imports_service_pb2_grpc import ImportsServiceStub
from denda.contacts.v1.people_service_pb2_grpc import PeopleServiceStub
from denda.types.v1.channel_pb2 import Channel
from tests.kit.world import World

GIVEN = ("Ane", "Jon", "Maite", "Iker", "Lucía", "Hugo", "Chloé", "Louis", "Emma", "Noah", "Zoë", "Luka")
FAMILY = ("Etxeberria", "García", "Martin", "Dubois", "Müller", "Rossi", "Smith", "Novák", "Silva", "Andersson")
PLACES = (("eu", "Europe/Madrid"), ("es", "America/Bogota"), ("fr", "Europe/Paris"), ("en", "America/New_York"))
CITIES = ("Bilbo", "Donostia", "Gasteiz", "Iruña", "Baiona")
HEADER = "email,phone,given_name,family_name,language,time_zone,city,number,spent\n"
CHUNK = 512 * 1024


def customer_file(count: int) -> Iterator[bytes]:
    """The file in pieces of about half a mebibyte."""
    lines = [HEADER]
    size = 0
    for number in range(count):
        language, zone = PLACES[number % len(PLACES)]
        lines.append(
            f"customer{number}@mail{number % 50}.example,+346{number:08d},{GIVEN[number % 12]},{FAMILY[number % 10]},"
            f"{language},{zone},{CITIES[number % 5]},{number},{number % 997}.50\n"
        )
        size += len(lines[-1])
        if size > CHUNK:
            yield "".join(lines).encode()
            lines, size = [], 0
    yield "".join(lines).encode()


def define_attributes(world: World) -> None:
    """Declare the attributes that the file has."""
    stub = PeopleServiceStub(world.installation.channel("contacts"))
    types = person_pb2.AttributeDefinition
    for name, kind in (("city", types.TYPE_STRING), ("number", types.TYPE_NUMBER), ("spent", types.TYPE_NUMBER)):
        definition = person_pb2.AttributeDefinition(name=name, type=kind)
        stub.DefineAttribute(people_service_pb2.DefineAttributeRequest(attribute=definition))


def import_people(world: World, count: int) -> pb.Import:
    """Send the file of `count` people, with consent to marketing by email, through the door that users have."""
    consent = pb.ImportConsent(purpose="marketing", channel=Channel.CHANNEL_EMAIL, evidence_detail="benchmark")
    plan = pb.ImportPlan(
        import_id=str(new_id()), file_name="people.csv", key=pb.ImportPlan.KEY_EMAIL, consents=[consent]
    )

    def requests() -> Iterator[pb.ImportPeopleRequest]:
        yield pb.ImportPeopleRequest(plan=plan)
        for piece in customer_file(count):
            for start in range(0, len(piece), CHUNK):
                yield pb.ImportPeopleRequest(chunk=piece[start : start + CHUNK])

    report: pb.Import = ImportsServiceStub(world.installation.channel("contacts")).ImportPeople(requests())
    if report.failed or report.created + report.updated + report.unchanged != count:
        raise RuntimeError(f"not everybody was taken: {report}")
    return report
