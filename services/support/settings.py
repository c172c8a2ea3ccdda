"""Settings of support: where mail to the company comes in, and how much of it is kept."""

from functools import cache

from pydantic import Field
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


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings()
