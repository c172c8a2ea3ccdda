"""How the command speaks to an installation: with an API key, or with the service key of the data directory.

Whoever can read the service key could start a service of their own with it, so a token for it gives nothing new.
"""

from functools import cache
from pathlib import Path

import click
import grpc

from chassis.client import ServiceToken, plain_channel, speaking_with
from chassis.settings import settings
from services import address
from services.cli.settings import cli_settings


def channel(service: str) -> grpc.Channel:
    """The channel to a service, with a token that is renewed as long as the command runs."""
    return speaking_with(plain_channel(address(service)), token_source())


@cache
def token_source() -> ServiceToken:
    """Where tokens come from. Raises ClickException when there is neither an API key nor a service key."""
    return ServiceToken(address("identity"), key())


def key() -> str:
    """The API key or, without one, the service key of the settings or of the data directory."""
    found = cli_settings().api_key.get_secret_value() or settings().service_key.get_secret_value()
    return found or _service_key(settings().data_dir / "service_key")


def _service_key(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        raise click.ClickException(
            f"There is no key to speak with: DENDA_API_KEY is empty and {path} does not exist.\nStart Denda with "
            "`denda up` in this directory, set DENDA_DATA_DIR to its data, or set DENDA_API_KEY to a key made with "
            "UsersService.CreateApiKey."
        ) from None
    except PermissionError:
        raise click.ClickException(
            f"The service key in {path} belongs to another account. Set DENDA_API_KEY to a key of your own, or use "
            "`denda token --email YOU`."
        ) from None
