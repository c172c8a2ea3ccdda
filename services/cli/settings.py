"""Settings of the `denda` command as a client, read from the environment (prefix `DENDA_`)."""

from functools import cache

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from chassis.settings import DENDA_ENVIRONMENT


class CliSettings(BaseSettings):
    """What the command needs to know beyond the chassis."""

    model_config = DENDA_ENVIRONMENT

    api_key: SecretStr = Field(
        SecretStr(""),
        description="API key with which the `denda` command speaks to an installation. Empty: the service key.",
    )


@cache
def cli_settings() -> CliSettings:
    """The settings of this process, read once."""
    return CliSettings()
