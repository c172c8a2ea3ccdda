"""Settings of identity, read from the environment (prefix `DENDA_`)."""

from functools import cache

from pydantic import Field
from pydantic_settings import BaseSettings

from chassis.settings import DENDA_ENVIRONMENT


class IdentitySettings(BaseSettings):
    """What identity needs to know beyond the chassis."""

    model_config = DENDA_ENVIRONMENT

    admin_email: str = Field(
        "admin@denda.example", description="Log-in name of the administrator that the first start creates."
    )
    session_days: int = Field(
        30, ge=1, le=365, description="Days after which a member of staff has to log in again, however active."
    )
    signing_key_days: int = Field(30, ge=1, description="Days after which a new key signs the tokens by itself.")


@cache
def identity_settings() -> IdentitySettings:
    """The settings of this process, read once."""
    return IdentitySettings()
