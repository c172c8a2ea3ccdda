"""What the demo's marketer has set up: attributes, segments, letters, campaigns, and where answers come."""

from base64 import b64decode
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP
from enum import Enum, auto
from pathlib import Path
from string import Template as Skeleton

from denda.contacts.v1.companies_service_pb2 import Company
from denda.contacts.v1.person_pb2 import AttributeDefinition as Attribute
from denda.notifications.v1.templates_service_pb2 import Template, Variant
from denda.support.v1.queues_service_pb2 import Queue
from denda.support.v1.views_service_pb2 import View
from denda.types.v1.channel_pb2 import CHANNEL_EMAIL, CHANNEL_SMS, Channel
from services.cli.demo import words

LETTER = Path(__file__).parent / "letter.mjml"
PLAIN = Skeleton(
    "<mjml><mj-body><mj-section><mj-column><mj-text>$text</mj-text></mj-column></mj-section></mj-body></mjml>"
)
# One pixel, in brown.
PHOTO = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mPojtIGAAKEARGtHjFHAAAAAElFTkSuQmCC")

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
LOYAL = "Loyal customers"
BASQUE = "Basque speakers"
SEGMENTS = (
    (EVERYBODY, OURS, "All 2,469 households."),
    (FAMILIES, f"{OURS} AND kids_count > 0 AND baskets >= 20", "Children, and here often enough to care for a coupon."),
    (LOYAL, f"{OURS} AND total_spent >= 3000 AND baskets >= 100", "A hundred visits, three thousand dollars."),
    ("Coupon users", f'{OURS} AND (coupons_redeemed > 0 OR tags:"coupons")', "Have used a coupon before."),
    (QUIET, f'{OURS} AND last_purchase < "2017-11-01"', "Nothing bought in the last two months of the data's year."),
    (BASQUE, f'{OURS} AND language:"eu"', "Want to be written to in Basque."),
)


class Fate(Enum):
    """What becomes of a campaign, so that each state can be seen."""

    DRAFT = auto()
    LAUNCHED = auto()
    # Launched, and paused at once.
    PAUSED = auto()
    SCHEDULED = auto()


@dataclass(frozen=True)
class Plan:
    """A campaign to be created."""

    name: str
    segment: str
    template: str
    channel: Channel.ValueType
    sender: str
    fate: Fate = Fate.LAUNCHED


COUPONS = "The Corner Shop <coupons@shop.example>"
NEWS = "The Corner Shop <news@shop.example>"
# A campaign is scheduled for so long after the demo is loaded.
LATER = timedelta(days=7)
CAMPAIGNS = (
    Plan("Coupons for families", FAMILIES, "Family coupons", CHANNEL_EMAIL, COUPONS),
    Plan("Letter to everybody", EVERYBODY, "Season's letter", CHANNEL_EMAIL, NEWS),
    Plan("We have missed you", QUIET, "We have missed you", CHANNEL_SMS, "CornerShop"),
    Plan("Letter to loyal customers", LOYAL, "Season's letter", CHANNEL_EMAIL, NEWS, Fate.PAUSED),
    Plan("Letter in Basque", BASQUE, "Season's letter", CHANNEL_EMAIL, NEWS, Fate.SCHEDULED),
    Plan("More coupons", "Coupon users", "Family coupons", CHANNEL_EMAIL, COUPONS, Fate.DRAFT),
)

# Who buys for a company, by company.
COMPANIES = (
    (Company(name="The School on the Hill", domain="school.example", tags=["demo"]), "cook"),
    (Company(name="Café at the Bridge", domain="cafe.example", tags=["demo"]), "owner"),
)

# Mails of strangers: a question with a photo, what she adds to it, and two that nobody can read.
MAILBOX = "news@shop.example"
STRANGER = "Maren Holt <maren.holt@mail.example>"
QUESTION = "<broken-jar@mail.example>"
# More parts than anybody has a use for.
BOMB = b'Subject: %s\r\nContent-Type: multipart/mixed; boundary="x"\r\n\r\n' + b"--x\r\n\r\n" * 20_000

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


def mails() -> list[bytes]:
    """What strangers write, RFC 5322, in the order in which it comes."""
    question = _mail("A broken jar", words.BROKEN_JAR, QUESTION)
    question.add_attachment(PHOTO, maintype="image", subtype="png", filename="photo.png")
    addition = _mail("Re: A broken jar", words.BROKEN_JAR_TOO, "<broken-jar-too@mail.example>")
    addition["In-Reply-To"] = QUESTION
    return [question.as_bytes(policy=SMTP), addition.as_bytes(policy=SMTP), BOMB % b"Boom", BOMB % b"Bang"]


def _mail(subject: str, text: str, message_id: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"], mail["Message-ID"] = STRANGER, MAILBOX, subject, message_id
    mail.set_content(text)
    return mail


def templates() -> list[Template]:
    """The templates, each with a variant for every language it is written in."""
    return [
        Template(
            name="Order received",
            channel=CHANNEL_EMAIL,
            variants=[
                Variant(language=language, subject=subject, mjml=PLAIN.substitute(text=text))
                for language, (subject, text) in words.ORDER.items()
            ],
        ),
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
