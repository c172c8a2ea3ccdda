"""Settings of notifications: providers, the mail relay and the senders' names."""

from functools import cache
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from chassis.settings import DENDA_ENVIRONMENT


class Settings(BaseSettings):
    """How messages leave; the defaults keep every message on this machine."""

    model_config = DENDA_ENVIRONMENT

    email_provider: Literal["sandbox", "smtp"] = Field("sandbox", description="Who takes email: `sandbox` or `smtp`.")
    sms_provider: Literal["sandbox"] = Field("sandbox", description="Who takes SMS.")
    voice_provider: Literal["sandbox"] = Field("sandbox", description="Who takes voice calls.")
    email_sender: str = Field(
        "Denda <hello@denda.example>", description="From whom an email is that names no sender of its own."
    )
    sms_sender: str = Field("Denda", description="From whom an SMS is that names no sender of its own.")
    voice_sender: str = Field("+34900000000", description="The number a call comes from that names none of its own.")
    smtp_host: str = Field("127.0.0.1", description="The mail relay.")
    smtp_port: int = Field(25, ge=1, le=65535, description="The mail relay's port: 25, 587, or 465 with TLS at once.")
    smtp_security: Literal["none", "opportunistic", "starttls", "tls"] = Field(
        "opportunistic",
        description="`starttls` insists on it, `opportunistic` takes what is offered, `tls` speaks it at once.",
    )
    smtp_verify: bool = Field(
        True, description="Whether the relay's certificate is checked; only off for a relay nearby."
    )
    smtp_username: str = Field("", description="User at the mail relay; empty means no log-in.")
    smtp_password: SecretStr = Field(SecretStr(""), description="Password at the mail relay.")
    smtp_hello: str = Field("", description="Name this installation gives itself at the relay; empty: the host's name.")
    smtp_timeout: float = Field(20.0, gt=0, le=600, description="Seconds the mail relay may take for any one answer.")
    smtp_connections: int = Field(
        4, ge=1, le=64, description="Connections to the mail relay for campaigns, one a thread."
    )
    smtp_messages_per_connection: int = Field(1000, ge=1, description="Mails after which a connection is renewed.")
    sandbox_behaviour: bool = Field(True, description="Whether the sandbox's customers open, click, bounce and answer.")
    sandbox_delay: float = Field(2.0, ge=0, description="Seconds, about, between two things a sandbox customer does.")


@cache
def settings() -> Settings:
    """The settings of this process, read once; `settings.cache_clear()` reads them again."""
    return Settings()
