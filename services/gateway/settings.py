"""Settings of the gateway, read from the environment (prefix `DENDA_`)."""

from functools import cache
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings

from chassis.settings import DENDA_ENVIRONMENT


class GatewaySettings(BaseSettings):
    """What the gateway needs to know beyond the chassis."""

    model_config = DENDA_ENVIRONMENT

    company_name: str = Field("Denda", description="The name that public pages show above everything else.")
    cors_origins: str = Field(
        "",
        description="Origins whose pages may use REST from a browser, with commas between: https://shop.example. "
        "Empty: none.",
    )
    # The same settings as notifications' and support's: people answer to who wrote to them.
    email_sender: str = Field(
        "Denda <hello@denda.example>", description="From whom an email is that names no sender of its own."
    )
    support_sender: str = Field("Denda <support@denda.example>", description="From whom agents' answers by mail are.")
    http_proxies: int = Field(
        0,
        ge=0,
        description="Proxies before the gateway, whose `X-Forwarded-For` tells where a visitor is; limits are a "
        "visitor's.",
    )
    http_threads: int = Field(16, ge=2, description="Threads of the gateway's HTTP server.")
    # The same setting as support's, which signs the addresses.
    inbound_domain: str = Field(
        "inbound.denda.example",
        description="Domain of signed reply addresses; its MX record points at the gateway's SMTP door.",
    )
    lmtp_port: int = Field(
        0, ge=0, description="Port at which the gateway takes mail by LMTP from a mail server of yours; 0: none."
    )
    sandbox_pages: Literal["loopback", "open", "off"] = Field(
        "loopback",
        description="Who may read the sandbox's messages at /sandbox: `loopback` is whoever sits at this machine, "
        "`open` is everybody who reaches the gateway, `off` is nobody.",
    )

    smtp_in_port: int = Field(7125, ge=0, description="Port at which the gateway takes mail by SMTP; 0: none.")


@cache
def gateway_settings() -> GatewaySettings:
    """The settings of this process, read once."""
    return GatewaySettings()
