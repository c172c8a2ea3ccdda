"""What the demo's marketer has set up: attributes, segments, letters, campaigns, and where answers come."""

from dataclasses import dataclass
from pathlib import Path
from string import Template as Skeleton

from denda.contacts.v1.person_pb2 import AttributeDefinition as Attribute
from denda.notifications.v1.templates_service_pb2 import Template, Variant
from denda.support.v1.queues_service_pb2 import Queue
from denda.support.v1.views_service_pb2 import View
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL, CHANNEL_SMS, Channel
from services.cli.demo import words

LETTER = Path(__file__).parent / "letter.mjml"

ATTRIBUTES = (
    ("age", Attribute.TYPE_NUMBER, "The youngest of the household's age band: 45 means 45 to 54, 65 means 65 and more"),
    ("income", Attribute.TYPE_STRING, "The household's yearly income in thousands of dollars, as a band: 50-74K"),
    ("home_ownership", Attribute.TYPE_STRING, "Homeowner, Renter, Probable Homeowner or Probable Renter"),
    ("marital_status", Attribute.TYPE_STRING, "Married or Unmarried"),
    ("household_size", Attribute.TYPE_NUMBER, "How many live in the household; 5 means 5 and more"),
    ("kids_count", Attribute.TYPE_NUMBER, "How many children live in the household; 3 means 3 and more"),
    ("total_spent", Attribute.TYPE_NUMBER, "What the household has spent in the shop, in dollars"),
    ("baskets", Attribute.TYPE_NUMBER, "How often the household has bought something"),
    ("first_purchase", Attribute.TYPE_DATE, "The day of the first purchase that is known"),
    ("last_purchase", Attribute.TYPE_DATE, "The day of the last purchase"),
    ("favourite_department", Attribute.TYPE_STRING, "Where in the shop most was spent, groceries apart"),
    ("coupons_redeemed", Attribute.TYPE_NUMBER, "How many coupons the household has used"),
)

# The demo may be loaded beside real people, whom none of its campaigns is meant for.
OURS = 'tags:"demo"'
FAMILIES = "Families with children"
EVERYBODY = "Everybody in the demo"
QUIET = "Gone quiet"
SEGMENTS = (
    (EVERYBODY, OURS, "All 2,469 households."),
    (FAMILIES, f"{OURS} AND kids_count > 0 AND baskets >= 20", "Children, and here often enough to care for a coupon."),
    (
        "Loyal customers",
        f"{OURS} AND total_spent >= 3000 AND baskets >= 100",
        "A hundred visits, three thousand dollars.",
    ),
    ("Coupon users", f'{OURS} AND (coupons_redeemed > 0 OR tags:"coupons")', "Have used a coupon before."),
    (QUIET, f'{OURS} AND last_purchase < "2017-11-01"', "Nothing bought in the last two months of the data's year."),
    ("Basque speakers", f'{OURS} AND language:"eu"', "Want to be written to in Basque."),
)


@dataclass(frozen=True)
class Plan:
    """A campaign to be created and launched."""

    name: str
    segment: str
    template: str
    channel: Channel.ValueType
    sender: str


CAMPAIGNS = (
    Plan("Coupons for families", FAMILIES, "Family coupons", CHANNEL_EMAIL, "The Corner Shop <coupons@shop.example>"),
    Plan("Letter to everybody", EVERYBODY, "Season's letter", CHANNEL_EMAIL, "The Corner Shop <news@shop.example>"),
    Plan("We have missed you", QUIET, "We have missed you", CHANNEL_SMS, "CornerShop"),
)

# Who answers a letter writes to its sender, and an agent of the shop finds it here.
QUEUE = Queue(
    name="Letters",
    description="What the demo's people answer to the shop's letters.",
    addresses=["coupons@shop.example", "news@shop.example"],
)
VIEWS = (
    View(name="To be answered", filter="state = NEW OR state = OPEN", shared=True),
    View(name="Waiting for the customer", filter="state = PENDING", shared=True),
    View(name="Mine", filter="mine() AND (state = NEW OR state = OPEN OR state = PENDING)", shared=True),
)


def templates() -> list[Template]:
    """The templates, each with a variant for every language it is written in."""
    return [
        _email("Family coupons", words.COUPONS),
        _email("Season's letter", words.LETTER),
        Template(
            name="We have missed you",
            channel=CHANNEL_SMS,
            variants=[Variant(language=language, text=text) for language, text in words.MISSED.items()],
        ),
    ]


def _email(name: str, written: dict[str, words.Letter]) -> Template:
    skeleton = Skeleton(LETTER.read_text())
    return Template(
        name=name,
        channel=CHANNEL_EMAIL,
        variants=[
            Variant(language=language, subject=letter.subject, mjml=skeleton.substitute(vars(letter)))
            for language, letter in written.items()
        ],
    )
