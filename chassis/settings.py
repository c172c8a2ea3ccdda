"""Settings of the plumbing, read from the environment (prefix `DENDA_`).

Every setting, here and in the services, is listed in docs/operations.md; a test holds that table true.
"""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

DENDA_ENVIRONMENT = SettingsConfigDict(env_prefix="DENDA_", extra="ignore", populate_by_name=True)


class Settings(BaseSettings):
    """What the chassis needs to know; an empty URL means the embedded default."""

    model_config = DENDA_ENVIRONMENT

    data_dir: Path = Field(Path(".denda"), description="Where the embedded database and the generated secrets live.")
    database_url: str = Field(
        "", description="PostgreSQL URL; `{service}` in it becomes the service's name. Empty: the embedded database."
    )
    database_pool: int = Field(20, ge=2, description="Most database connections one service opens in one process.")
    bus_url: str = Field(
        "",
        validation_alias=AliasChoices("DENDA_BUS_URL", "AMQP_URL"),
        description="`amqp://…` for RabbitMQ, `postgresql://…` for tables there. Empty: the embedded database.",
    )
    secret_key: SecretStr = Field(
        SecretStr(""), description="Key for signed links and addresses. Empty: made once in the data directory."
    )
    service_key: SecretStr = Field(
        SecretStr(""),
        description="Key a service shows to identity for a token. Empty: made once in the data directory.",
    )
    bind: str = Field("127.0.0.1", description="Address that every server listens on.")
    port_offset: int = Field(
        0, ge=0, le=50_000, description="Added to every default port, to run a second installation beside the first."
    )
    address_template: str = Field(
        "127.0.0.1:{port}", description="Where services find each other; `{service}` and `{port}` are filled in."
    )
    public_url: str = Field(
        "",
        description="The gateway as customers reach it, in every link. Empty: http://127.0.0.1 and the gateway's port.",
    )
    metrics_port: int = Field(0, ge=0, description="Port of the Prometheus metrics; 0 turns them off.")
    otlp_endpoint: str = Field("", description="OpenTelemetry collector (OTLP over gRPC). Empty: no traces leave.")
    log_format: Literal["console", "json"] = Field("console", description="`console` for people, `json` for machines.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least severe level shown.")
    grpc_threads: int = Field(16, ge=2, description="Threads of each service's gRPC server, for calls with one answer.")
    grpc_streams: int = Field(
        500, ge=2, description="Most streams that each service's gRPC server keeps open; an open one has a thread."
    )
    shutdown_seconds: float = Field(25.0, gt=0, description="Most time a stop may take before work is abandoned.")

    @field_validator("database_url")
    @classmethod
    def _of_postgresql(cls, url: str) -> str:
        if url and not url.startswith(("postgresql://", "postgresql+psycopg://")):
            raise ValueError("needs a URL that begins with postgresql://")
        return url

    @field_validator("public_url")
    @classmethod
    def _of_the_web(cls, url: str) -> str:
        if url and not url.startswith(("https://", "http://")):
            raise ValueError("needs a URL that begins with https://")
        return url

    @field_validator("address_template")
    @classmethod
    def _can_be_filled_in(cls, template: str) -> str:
        try:
            template.format(service="contacts", port=7101)
        except (LookupError, ValueError):
            raise ValueError("may have {service} and {port} in braces, and nothing else") from None
        return template


@cache
def settings() -> Settings:
    """The settings of this process, read once; `settings.cache_clear()` reads them again."""
    return Settings()
