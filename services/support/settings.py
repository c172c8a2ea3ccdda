"""Settings of support: where mail to the company comes in, and how much of it is kept."""

from functools import cache

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from chassis.settings import DENDA_ENVIRONMENT


class Settings(BaseSettings):
    """How mail becomes tickets; the defaults suit a first look."""

    model_config = DENDA_ENVIRONMENT

    inbound_domain: str = Field(
        "inbound.denda.example",
        description="Domain of signed reply addresses; its MX record points at the gateway's SMTP door.",
    )
    support_sender: str = Field("Denda <support@denda.example>", description="From whom agents' answers by mail are.")
    reopen_days: int = Field(
        30, ge=0, description="Days after which an answer to a closed ticket opens a new one instead; 0: at once."
    )
    most_attachments: int = Field(100, ge=0, description="Files that are kept of one mail.")
    attachment_bytes: int = Field(
        25 * 1024 * 1024, ge=0, description="Bytes of a file that is kept; of a larger one only its name is."
    )
    imap_url: SecretStr = Field(
        SecretStr(""),
        description="Mailbox to fetch mail from, `imaps://user:password@host/INBOX`; empty: none is polled.",
    )
    imap_done: str = Field(
        "",
        description="Folder of the mailbox into which fetched mails are moved; empty: they stay, marked as seen.",
    )


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
